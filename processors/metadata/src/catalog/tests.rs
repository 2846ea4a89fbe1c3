//! What the built-in catalog says, and what no catalog may do.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pipeline::{Created, Kind, Source, SourceDirectory, SourceFile};

use super::built_in::FILES;
use super::file::{CatalogForm, FamilyForm};
use super::*;

fn built_in() -> Catalog {
    Catalog::new(Vec::new())
}

/// All families, as they are written.
fn families() -> Vec<FamilyForm> {
    let form = |text| serde_yaml::from_str::<CatalogForm>(text).unwrap();
    FILES
        .iter()
        .flat_map(|(_, text)| form(text).families)
        .collect()
}

#[test]
fn each_file_lists_its_subsystems() {
    for (subsystems, text) in FILES {
        let file = CatalogFile::parse("", text).unwrap();
        let known: BTreeSet<_> = file.subsystems().collect();
        assert_eq!(known, subsystems.iter().copied().collect());
    }
}

#[test]
fn what_no_table_is_of_is_not_parsed() {
    let catalog = built_in();
    catalog.find("net/eth0/statistics", "rx_bytes", "sysfs");
    let parsed = catalog.built_in.iter().filter(|it| it.is_parsed()).count();
    assert_eq!(parsed, 1);
}

#[test]
fn names_are_told_apart_by_place_and_file_system() {
    let catalog = built_in();
    let kind = |directory, file, filesystem| {
        catalog
            .find(directory, file, filesystem)
            .map(|entry| entry.kind.clone())
    };
    assert_eq!(
        kind("net/eth0/statistics", "rx_bytes", "sysfs"),
        Some(Some(Kind::COUNTER))
    );
    assert_eq!(
        kind("net/eth0", "rx_bytes", "statsfs"),
        Some(Some(Kind::COUNTER))
    );
    assert_eq!(kind("net/eth0", "mtu", "sysfs"), Some(Some(Kind::Gauge)));
    assert_eq!(kind("net/eth0", "operstate", "sysfs"), Some(None));
    assert_eq!(
        kind("kvm/1-2", "blocking", "debugfs"),
        Some(Some(Kind::UP_DOWN_COUNTER)),
        "a number of vCPUs, not a truth value"
    );
    assert_eq!(
        kind("kvm/1-2", "halt_wait_hist", "debugfs"),
        Some(None),
        "one bucket is no histogram"
    );
    assert_eq!(
        kind("kvm/1-2/vcpu0", "guest_mode", "debugfs"),
        Some(Some(Kind::UP_DOWN_COUNTER)),
        "the same as above"
    );
    assert_eq!(
        kind(
            "infiniband/mlx5_0/ports/1/hw_counters",
            "np_new_one",
            "sysfs"
        ),
        Some(Some(Kind::COUNTER))
    );
    assert_eq!(
        kind("infiniband/mlx5_0/ports/1/hw_counters", "lifespan", "sysfs"),
        Some(None)
    );
    assert_eq!(kind("other/x", "rx_bytes", "sysfs"), None);
    assert!(
        catalog
            .find("kvm", "max_mmu_rmap_size", "debugfs")
            .unwrap()
            .description
            .starts_with("Sum over all VMs")
    );
}

#[test]
fn sums_are_known_by_level() {
    let catalog = built_in();
    let sum_above = |directory: &str, file: &str, filesystem, same_name_below| {
        let mut source_file = SourceFile::new(file);
        source_file.same_name_below = same_name_below;
        let directory = SourceDirectory::new(directory, filesystem);
        let source = Source::new(Arc::new(directory), Arc::new(source_file));
        let entry = catalog.find(&source.directory.path, file, filesystem);
        entry.unwrap().is_aggregate(&source)
    };
    let sum = |directory, file, filesystem| sum_above(directory, file, filesystem, false);
    assert!(sum("kvm", "exits", "debugfs"));
    assert!(
        !sum("kvm/1-2", "exits", "debugfs"),
        "the finest level that debugfs has"
    );
    assert!(sum("kvm/1-2", "guest_mode", "debugfs"));
    assert!(sum("kvm/1-2", "exits", "statsfs") && sum("kvm/1-2", "exits", "ext4"));
    assert!(!sum("kvm/1-2/vcpu0", "exits", "statsfs"));
    assert!(sum("kvm", "largepages", "statsfs") && !sum("kvm/1-2", "largepages", "statsfs"));
    for (directory, file) in [
        ("cgroup/system.slice", "memory.current"),
        ("cgroup/memory/docker", "memory.usage_in_bytes"),
        ("cpuacct/docker", "cpuacct.usage"),
        ("edac/mc0", "ce_count"),
    ] {
        assert!(sum_above(directory, file, "sysfs", true), "{directory}");
        assert!(
            !sum_above(directory, file, "sysfs", false),
            "the finest: {directory}"
        );
    }
    assert!(
        !sum_above("cgroup/a", "memory.limit_in_bytes", "cgroup", true)
            && !sum_above("cgroup/a", "memory.peak", "cgroup2", true),
        "a group's own"
    );
}

/// A place or a name that a glob fits.
fn example(glob: &str) -> String {
    let mut example = glob
        .replace("[0-9]", "1")
        .replace("**", "x")
        .replace('*', "x");
    if let Some((before, rest)) = example.clone().split_once('{') {
        let (alternatives, after) = rest.split_once('}').unwrap();
        let first = alternatives.split(',').next().unwrap();
        example = format!("{before}{first}{after}");
    }
    example
}

#[test]
fn a_name_has_one_kind_and_one_unit_wherever_it_stands() {
    let catalog = built_in();
    let mut known: HashMap<String, (Kind, Arc<str>, String)> = HashMap::new();
    for family in &families() {
        let filesystems = [&*family.filesystems, &["sysfs".into(), "statsfs".into()]].concat();
        for (place, metric) in family
            .r#match
            .iter()
            .flat_map(|place| family.metrics.iter().map(move |it| (place, it)))
        {
            let path = example(&place.replace("NAME", &metric.name));
            let (directory, name) = path.rsplit_once('/').unwrap();
            let subsystem = directory.split('/').next().unwrap();
            for filesystem in &filesystems {
                let Some(entry) = catalog.find(directory, name, filesystem) else {
                    assert!(!family.filesystems.is_empty(), "{path} is not found");
                    continue;
                };
                let Some(kind) = entry.kind.clone() else {
                    continue;
                };
                let metric = format!("{subsystem}/{name}");
                let (known_kind, unit, at) = known
                    .entry(metric)
                    .or_insert_with(|| (kind.clone(), Arc::clone(&entry.unit), path.clone()));
                assert!(
                    *known_kind == kind && *unit == entry.unit,
                    "{path} is {kind:?} in {}, {at} is {known_kind:?} in {unit}",
                    entry.unit
                );
            }
        }
    }
    assert!(known.len() > 400, "{}", known.len());
}

#[test]
fn each_family_of_counters_says_since_when_they_count() {
    let file = |text| serde_yaml::from_str::<serde_yaml::Value>(text).unwrap();
    let files = FILES.iter().map(|(_, text)| file(text));
    for family in files.flat_map(|it| it["families"].as_sequence().unwrap().clone()) {
        let mut metrics = family["metrics"].as_sequence().unwrap().iter();
        let has_counters = metrics.any(|metric| metric["type"] == "counter");
        assert!(
            !has_counters || family.get("start").is_some(),
            "{:?}",
            family["id"]
        );
    }
}

#[test]
fn a_start_is_known_by_what_the_kernel_keeps_and_where() {
    let catalog = built_in();
    let since = |path: &str, filesystem, created| {
        let (directory, file) = path.rsplit_once('/').unwrap();
        let entry = catalog.find(directory, file, filesystem).unwrap();
        entry.start.since(created)
    };
    for (path, filesystem, from_boot, later) in [
        // Made with its directory.
        ("kvm/1-2/exits", "debugfs", 7, 9),
        ("kvm/1-2/vcpu0/exits", "statsfs", 7, 9),
        // Moved, or older than its directory.
        ("net/eth0/statistics/rx_bytes", "sysfs", 7, 0),
        ("ext4/sda/session_write_kbytes", "sysfs", 7, 0),
        ("kernel/oops_count", "sysfs", 7, 0),
        // Kept on a disk, or in a device.
        ("ext4/sda/lifetime_write_kbytes", "sysfs", 0, 0),
        ("ext4/sda/errors_count", "sysfs", 0, 0),
        ("powercap/intel-rapl:0/energy_uj", "sysfs", 0, 0),
        ("hwmon/hwmon0/energy1_input", "sysfs", 0, 0),
        ("fc_host/host0/statistics/tx_frames", "sysfs", 0, 0),
        (
            "infiniband/mlx5_0/ports/1/counters/port_rcv_data",
            "sysfs",
            0,
            0,
        ),
    ] {
        assert_eq!(
            since(path, filesystem, Created::AtBoot(7)),
            from_boot,
            "{path}"
        );
        assert_eq!(since(path, filesystem, Created::After(9)), later, "{path}");
        assert_eq!(since(path, filesystem, Created::Unknown), 0, "{path}");
    }
}

#[test]
fn the_form_is_strict() {
    let error = |text: &str| CatalogFile::parse("mine.yaml", text).unwrap_err();
    assert!(error("version: 2\nfamilies: []").contains("mine.yaml: version 2"));
    assert!(error("version: 1\nfamilies: []\nmore: 1").contains("unknown field `more`"));
    assert!(
        error("version: 1\nfamilies: [{id: a, match: [a/b], metrics: []}]")
            .contains("does not end in `/NAME`")
    );
    assert!(
        error(
            "version: 1\nfamilies: [{id: a, match: [a/NAME], metrics: [{name: b, type: count}]}]"
        )
        .contains("unknown variant `count`")
    );
    assert!(error("version: 1\nfamilies: [{id: a, match: [a/NAME], metrics: [{name: b, type: bool}, {name: b, type: bool}]}]").contains("stands twice"));
    assert!(error("version: 1\nfamilies: [{id: a, match: [a/NAME], metrics: [{name: b, type: counter, wraps_at: c}]}]").contains("`c` at which `b` wraps is not in it"));
    assert!(error("version: 1\nfamilies: [{id: a, match: [a/NAME], metrics: [{name: 'b*', type: counter, wraps_at: c}, {name: c, type: config}]}]").contains("`b*` is a glob, and cannot wrap"));
    assert!(error("version: 1\nfamilies: [{id: a, match: [a/NAME], metrics: [{name: b, type: counter, absent: [none]}]}]").contains("`none` is not a number"));
}

#[test]
fn no_catalog_makes_it_panic() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let head = FILES[1].1.lines().take(30).collect::<Vec<_>>().join("\n");
    let odd = [
        '\n', ' ', ':', '{', '}', '[', ']', '"', '*', '!', '-', '/', 'ö', '\t',
    ];
    for _ in 0..500 {
        let mut text: Vec<char> = head.chars().collect();
        for _ in 0..random.usize(1..5) {
            let at = random.usize(..text.len());
            text[at] = odd[random.usize(..odd.len())];
        }
        let text: String = text.into_iter().collect();
        let attempt = std::panic::catch_unwind(|| CatalogFile::parse("random", &text).is_ok());
        assert!(attempt.is_ok(), "seed {seed}: {text}");
    }
}
