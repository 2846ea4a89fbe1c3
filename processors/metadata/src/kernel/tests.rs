use pipeline::{
    Attributes, Declared, DeclaredBy, Head, Kind, PerSeries as _, Scope, Series, SourceDirectory,
    SourceFile, Verdict,
};
use std::sync::Arc;

use super::*;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::types::Types;

/// A file of statistics of many types, as the kernel gives it.
fn capture() -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../receivers/kvm/tests/captures/synthetic.bin"
    );
    std::fs::read(path).unwrap()
}

/// A processor for which the kernel has said this, of VMs and of vCPUs.
fn types(config: &str, catalog: &str, file: &[u8]) -> Types {
    let config: Config = serde_yaml::from_str(config).unwrap();
    let catalog = format!("{{version: 1, families: [{catalog}]}}");
    let catalog = Catalog::only(&catalog);
    let types = Types::new(config, catalog, &pipeline::testing::context());
    let said = types.kernel.remember(KernelTypes::parse(file, file));
    types.kernel.types.set(said).unwrap();
    types
}

fn source(directory: &str, filesystem: &str, file: &str) -> Source {
    let directory = SourceDirectory::new(directory, filesystem);
    Source::new(Arc::new(directory), Arc::new(SourceFile::new(file)))
}

fn series(directory: &str, file: &str) -> Series {
    let mut series = Series::new(format!("kvm/{file}"), Arc::<Attributes>::default());
    series.source = Some(source(directory, "debugfs", file));
    series
}

/// Kind, unit, and what values are multiplied by; `None` where it is dropped.
fn typed(types: &Types, series: &Series) -> Option<(Kind, String, Option<f64>)> {
    let scope = Arc::new(Scope::default());
    let head = Head::new(Arc::default(), scope, "kvm".into(), "kvm".into());
    let mut after = series.clone();
    let verdict = types.rewrite(&head, &mut after);
    let mut memory = types.row_memory(series, &after.kind);
    let scale = memory.rewrite().and_then(|it| it.scale);
    (verdict == Verdict::Keep).then(|| (after.kind.clone(), after.unit.to_string(), scale))
}

#[test]
fn files_of_vms_are_typed_by_the_kernel_whatever_their_name() {
    let types = types("{}", "", &capture());
    let up_down = Kind::UP_DOWN_COUNTER;
    for (file, kind, unit, scale) in [
        ("plain", Kind::COUNTER, "", None),
        ("now", up_down.clone(), "", None),
        ("top", Kind::Gauge, "", None),
        ("mem_kib", up_down.clone(), "KiBy", None),
        ("t_us", Kind::COUNTER, "us", None),
        ("mcycles", Kind::COUNTER, "{cycle}", Some(1e6)),
        ("flag", up_down, "{vcpu}", None),
    ] {
        let expected = Some((kind, unit.to_owned(), scale));
        assert_eq!(typed(&types, &series("kvm/1-2", file)), expected, "{file}");
        assert_eq!(
            typed(&types, &series("kvm/1-2/vcpu0", file)),
            expected,
            "{file} of a vCPU"
        );
    }
    assert_eq!(typed(&types, &series("kvm/1-2", "wait_hist")), None);
    let (kind, ..) = typed(&types, &series("kvm/1-2", "tsc-offset")).unwrap();
    assert_eq!(kind, Kind::Gauge, "nobody's");
}

#[test]
fn a_scale_is_of_the_unit_and_of_who_says_that() {
    let catalog =
        "{id: a, match: ['kvm/*-*/NAME'], metrics: [{name: plain, type: counter, unit: '{exit}'}]}";
    let mut thousands = capture();
    // `now`, in thousands of things.
    thousands[72 + 2 * 64 + 4] = 3;
    let config = "{rules: [{match: {name: kvm/t_ns}, unit: s, scale: 1.0e-9}, {match: {name: kvm/mcycles}, unit: Mcycles}]}";
    let types = types(config, catalog, &thousands);
    let of = |file| typed(&types, &series("kvm/1-2", file)).unwrap();
    let now = (Kind::UP_DOWN_COUNTER, String::new(), Some(1000.0));
    assert_eq!(of("now"), now);
    assert_eq!(of("t_ns"), (Kind::COUNTER, "s".into(), Some(1e-9)));
    assert_eq!(of("mcycles"), (Kind::COUNTER, "Mcycles".into(), None));
    assert_eq!(of("plain"), (Kind::COUNTER, "{exit}".into(), None));
    // What a receiver has converted already, by the name.
    let mut converted = series("kvm/1-2", "mcycles");
    let mut declared = Declared::default();
    (declared.by, declared.unit) = (DeclaredBy::Name, Some("{cycle}".into()));
    let mut file = SourceFile::new("mcycles");
    file.declared = Some(Arc::new(declared));
    converted.source.as_mut().unwrap().file = Arc::new(file);
    converted.name = "kvm/other".into();
    let expected = (Kind::COUNTER, "{cycle}".into(), None);
    assert_eq!(typed(&types, &converted), Some(expected));
}

#[test]
fn where_a_catalog_says_otherwise_the_kernels_word_holds() {
    let catalog = "{id: a, match: ['kvm/*-*/NAME'], metrics: [
        {name: plain, type: gauge, unit: ns}, {name: now, type: gauge, unit: '{page}'},
        {name: t_us, type: counter, unit: ns}, {name: wait_hist, type: counter}]}";
    let types = types("{}", catalog, &capture());
    let of = |file| typed(&types, &series("kvm/1-2", file));
    assert_eq!(of("plain"), Some((Kind::COUNTER, String::new(), None)));
    assert_eq!(of("now"), Some((Kind::Gauge, "{page}".into(), None)));
    assert_eq!(of("t_us"), Some((Kind::COUNTER, "us".into(), None)));
    assert_eq!(of("wait_hist"), None);
    let said = |file| {
        let series = series("kvm/1-2", file);
        types.disagreement(&types.known(&series))
    };
    let words = |kernel: &str, catalog: &str| Some((kernel.to_owned(), catalog.to_owned()));
    assert_eq!(said("plain"), words("counter", "gauge ns"));
    assert_eq!(said("now"), None);
    assert_eq!(said("t_us"), words("counter us", "counter ns"));
    assert_eq!(said("wait_hist"), words("no number to export", "counter"));
}

#[test]
fn a_rule_ends_a_disagreement_and_a_catalog_that_is_asked_first_holds() {
    let catalog =
        "{id: a, match: ['kvm/*-*/NAME'], metrics: [{name: plain, type: gauge, unit: ns}]}";
    for config in [
        "{rules: [{match: {name: kvm/plain}, kind: gauge, unit: By}]}",
        "{sources: [catalog, kernel]}",
    ] {
        let types = types(config, catalog, &capture());
        let series = series("kvm/1-2", "plain");
        assert_eq!(types.disagreement(&types.known(&series)), None, "{config}");
        let (kind, ..) = typed(&types, &series).unwrap();
        assert_eq!(kind, Kind::Gauge, "{config}");
    }
    let dropped = "{rules: [{match: {name: kvm/plain}, drop: true}]}";
    let types = types(dropped, catalog, &capture());
    let series = series("kvm/1-2", "plain");
    assert_eq!(types.disagreement(&types.known(&series)), None);
}

#[test]
fn what_a_newer_kernel_has_is_not_read_and_counted_but_a_rule_makes_it_a_metric() {
    let mut file = capture();
    // Another type, unit and base.
    for (number, flags) in [(0, 0x5_u32), (1, 0x50), (2, 0x201)] {
        let at = 72 + number * 64;
        file[at..at + 4].copy_from_slice(&flags.to_ne_bytes());
    }
    let types = types(
        "{rules: [{match: {name: kvm/now}, kind: gauge}]}",
        "",
        &file,
    );
    for unknown in ["plain", "big"] {
        assert_eq!(typed(&types, &series("kvm/1-2", unknown)), None);
        let explanation = types.explanation(&series("kvm/1-2", unknown));
        let dropped_by = explanation.dropped_by.unwrap();
        assert_eq!(dropped_by, "kernel: no number to export");
    }
    let (kind, ..) = typed(&types, &series("kvm/1-2", "now")).unwrap();
    assert_eq!(kind, Kind::Gauge);
    let counts = types.kernel.counters.snapshot();
    let unknown = counts.iter().find(|it| it.counter == STATISTICS_UNKNOWN);
    // The same names at both levels.
    assert_eq!(unknown.unwrap().value, 3);
}

#[test]
fn only_a_vms_files_in_debugfs_are_a_reason_to_ask() {
    let kernel = Kernel::new(&pipeline::testing::context());
    for (directory, filesystem) in [
        ("kvm", "debugfs"),
        ("kvm/1-2", "statsfs"),
        ("kvm/1-2", "ext4"),
        ("kvm/1-2/vcpux", "debugfs"),
        ("kvm/1-2/vcpu0/x", "debugfs"),
        ("kvm/1-", "debugfs"),
        ("kvm/x", "debugfs"),
        ("net/1-2", "debugfs"),
    ] {
        let source = source(directory, filesystem, "exits");
        assert_eq!(kernel.find(&source), None, "{directory} {filesystem}");
    }
    assert!(kernel.types.get().is_none(), "nothing was asked");
}

#[test]
fn sums_over_all_vms_are_sums_whatever_their_name() {
    let types = types("{}", "", &capture());
    assert_eq!(typed(&types, &series("kvm", "unheard_of")), None);
    let mut below = series("kvm/1-2", "flag");
    assert!(typed(&types, &below).is_some());
    let mut file = SourceFile::new("flag");
    file.same_name_below = true;
    below.source.as_mut().unwrap().file = Arc::new(file);
    assert_eq!(typed(&types, &below), None, "its vCPUs have it");
}

#[test]
fn a_kernel_that_cannot_be_asked_leaves_the_catalog() {
    let kernel = Kernel::new(&pipeline::testing::context());
    let types = kernel.remember(Err(io::Error::from(io::ErrorKind::PermissionDenied)));
    kernel.types.set(types).unwrap();
    assert_eq!(kernel.find(&source("kvm/1-2", "debugfs", "exits")), None);
}
