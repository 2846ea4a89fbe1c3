//! What the running kernel says of a VM's files in debugfs: asked once, and held against the catalog.

use std::os::fd::AsRawFd;
use std::process::Command;

use kvm_stats::{Descriptor, Level, OwnVm, StatisticType, StatisticUnit, StatsFile};
use serde_json::Value;

use super::host::{kvm, name};
use crate::common::alone::{KVM, alone};
use crate::common::{self, BINARY, has_program, lacks, lines, run, spawn, text};
use crate::inspect::records;

const FILES: &str =
    "{root: 'debugfs:kvm', subsystem: kvm, layout: '{vm}/{vcpu}/{metric}', optional: true}";

/// A pipeline of a `statsfs` receiver of KVM's files.
fn config(metadata: &str) -> String {
    common::config(FILES, &format!("metadata: {metadata}; batch: {{}}"), "{}")
}

/// All that this kernel says of its statistics.
pub(super) fn descriptors(level: Level) -> Vec<Descriptor> {
    let own = OwnVm::create().unwrap();
    StatsFile::parse(&own.read_types(level).unwrap())
        .unwrap()
        .descriptors
}

/// Kind and unit of a statistic's file; `None`: it has no number to export.
fn of_file(descriptor: &Descriptor) -> Option<(&'static str, Option<&'static str>)> {
    let unit = match descriptor.unit().unwrap() {
        StatisticUnit::None => None,
        StatisticUnit::Boolean => Some("{vcpu}"),
        StatisticUnit::Seconds => Some("ns"),
        other => panic!("{other:?}"),
    };
    match descriptor.statistic_type().unwrap() {
        StatisticType::Cumulative => Some(("counter", unit)),
        StatisticType::Instant => Some(("updown", unit)),
        StatisticType::Peak => Some(("gauge", unit)),
        StatisticType::LinearHistogram | StatisticType::LogHistogram => None,
    }
}

#[test]
fn files_have_the_kernels_types_also_where_no_catalog_is_asked() {
    let _kvm = alone(&KVM);
    let Some((kvm, _debugfs)) = kvm("files_have_the_kernels_types_also_where_no_catalog_is_asked")
    else {
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let directory = format!("kvm/{}", name(&vm));
    let config = config("{sources: [kernel]}");
    let listed = records(Some(&config), &[&format!("{directory}/*")]);
    let of = |file: &str| {
        let path = format!("{directory}/{file}");
        let found = listed.iter().find(|it| it["source"] == path.as_str());
        found.unwrap_or_else(|| panic!("{path}: {listed:#?}"))
    };
    let all = [Level::Vm, Level::Vcpu].map(descriptors).concat();
    assert!(all.len() > 50);
    for descriptor in &all {
        let record = of(&descriptor.name);
        let Some((kind, unit)) = of_file(descriptor) else {
            assert_eq!(record["state"], "dropped", "{record}");
            assert_eq!(record["detail"], "kernel: no number to export", "{record}");
            continue;
        };
        assert_eq!(record["kind"], kind, "{record}");
        assert_eq!(record["kind_from"], "kernel", "{record}");
        assert_eq!(record["unit"].as_str(), unit, "{record}");
    }
    assert_eq!(of("mmu_rmaps_stat")["kind_from"], "nobody");
}

#[test]
fn inspect_shows_what_is_the_kernels_and_what_the_catalogs() {
    let _kvm = alone(&KVM);
    let Some((kvm, _debugfs)) = kvm("inspect_shows_what_is_the_kernels_and_what_the_catalogs")
    else {
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let _vcpu = vm.create_vcpu(0).unwrap();
    let directory = format!("kvm/{}", name(&vm));
    let listed = records(Some(&config("{}")), &[&format!("{directory}/**")]);
    let shown = |file: &str| {
        let path = format!("{directory}/{file}");
        let record = listed.iter().find(|it| it["source"] == path.as_str());
        let keys = ["kind", "kind_from", "unit", "unit_from"];
        let record = record.unwrap_or_else(|| panic!("{path}: {listed:#?}"));
        keys.map(|key| record[key].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(shown("exits"), ["counter", "kernel", "{exit}", "catalog"]);
    assert_eq!(shown("halt_wait_ns"), ["counter", "kernel", "ns", "kernel"]);
    assert_eq!(shown("pages_4k"), ["updown", "kernel", "{page}", "catalog"]);
    assert_eq!(shown("blocking"), ["updown", "kernel", "{vcpu}", "kernel"]);
    let vcpu = shown("vcpu0/guest_mode");
    assert_eq!(vcpu, ["updown", "kernel", "{vcpu}", "kernel"]);
    let of_no_descriptor = shown("vcpu0/tsc-offset");
    assert_eq!(of_no_descriptor, ["gauge", "catalog", "{cycle}", "catalog"]);
}

/// How the program opens `/dev/kvm`, by strace; what it is run with succeeds.
fn opens(arguments: &[&str], config: &str) -> Vec<String> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--trace=open,openat,openat2", "--output"]);
    command.arg(log.path()).arg(BINARY).args(arguments);
    command.args(["--config", "-"]);
    let output = spawn(command, config).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let trace = std::fs::read_to_string(log.path()).unwrap();
    assert!(trace.contains("openat("), "{trace}");
    // By O_PATH, as the sandbox has it, a file is named and not opened.
    let is_open = |it: &&str| it.contains("\"/dev/kvm\"") && !it.contains("O_PATH");
    let opens = trace.lines().filter(is_open);
    opens.map(str::to_owned).collect()
}

#[test]
fn the_kernel_is_asked_once_and_only_for_a_vms_file() {
    let _kvm = alone(&KVM);
    let test = "the_kernel_is_asked_once_and_only_for_a_vms_file";
    let Some((kvm, _debugfs)) = kvm(test) else {
        return;
    };
    if !has_program("strace") {
        lacks(test, "strace");
        return;
    }
    let vms = [0, 1].map(|_| kvm.create_vm().unwrap());
    let asked = opens(&["--once"], &config("{}"));
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert!(asked[0].contains("O_RDONLY"), "{asked:#?}");

    // Files of the same names that are none of the kernel's, and a check of the configuration.
    let tree = tempfile::tempdir().unwrap();
    common::file(tree.path(), "1-2/exits");
    let elsewhere = format!(
        "{{root: {}, subsystem: kvm, layout: '{{vm}}/{{metric}}', optional: true}}",
        tree.path().display()
    );
    let elsewhere = common::config(&elsewhere, "metadata: {}", "{}");
    for (arguments, config) in [
        (["--once"], elsewhere),
        (["validate"], config("{}")),
        (["--once"], config("{sources: [rules, declared, catalog]}")),
    ] {
        let opens = opens(&arguments, &config);
        assert!(opens.is_empty(), "{arguments:?}: {opens:#?}");
    }
    drop(vms);
}

#[test]
fn where_the_catalog_says_otherwise_the_kernels_word_holds_and_it_is_said_once() {
    let _kvm = alone(&KVM);
    let test = "where_the_catalog_says_otherwise_the_kernels_word_holds_and_it_is_said_once";
    let Some((kvm, _debugfs)) = kvm(test) else {
        return;
    };
    let vms = [0, 1].map(|_| kvm.create_vm().unwrap());
    let vcpus = vms.each_ref().map(|vm| vm.create_vcpu(0).unwrap());
    let catalog = tempfile::NamedTempFile::new().unwrap();
    let other = "{version: 1, families: [{id: a, match: ['kvm/*-*/NAME'], start: device, metrics: [{name: pages_4k, type: counter, unit: ns}, {name: exits, type: gauge, unit: By}]}]}";
    std::fs::write(catalog.path(), other).unwrap();
    let metadata = format!("{{catalogs: [{}]}}", catalog.path().display());
    let by_receiver = common::config(FILES, &format!("metadata: {metadata}"), "{}")
        .replace("statsfs", "kvm")
        .replace(FILES, "{sources: [debugfs]}");
    for config in [config(&metadata), by_receiver] {
        let output = run(&config, &["--once"]);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let said = "kvm/pages_4k: the kernel says updown, the catalog counter ns";
        assert_eq!(stderr.matches(said).count(), 1, "{stderr}");
        let shown = lines(&output.stdout);
        for vm in &vms {
            let vm = [
                name(vm),
                format!("{}-{}", std::process::id(), vm.as_raw_fd()),
            ];
            let fits = |line: &&String| {
                vm.iter()
                    .any(|vm| line.starts_with(&format!("kvm/pages_4k{{vm={vm}}} ")))
            };
            let line = shown
                .iter()
                .find(fits)
                .unwrap_or_else(|| panic!("{shown:#?}"));
            assert!(line.ends_with("0 updown"), "{line}");
        }
    }
    drop(vcpus);
}

#[test]
fn the_kernel_that_cannot_be_asked_leaves_the_catalog_which_is_said() {
    let _kvm = alone(&KVM);
    let test = "the_kernel_that_cannot_be_asked_leaves_the_catalog_which_is_said";
    let Some((kvm, _debugfs)) = kvm(test) else {
        return;
    };
    let vm = kvm.create_vm().unwrap();
    // A file in the device's place, which nobody else sees.
    let mut command = Command::new("unshare");
    let script = "mount --bind /dev/null /dev/kvm && exec \"$0\" --once --config -";
    command.args(["--mount", "sh", "-c", script, BINARY]);
    let output = spawn(command, &config("{}")).wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let said = "the kernel's own types of KVM's statistics cannot be had; the catalog's hold";
    assert_eq!(stderr.matches(said).count(), 1, "{stderr}");
    assert!(stderr.contains("/dev/kvm: Inappropriate ioctl"), "{stderr}");
    let expected = format!("kvm/pages_4k{{vm={}}} 0 updown {{page}}", name(&vm));
    assert!(lines(&output.stdout).contains(&expected), "{stderr}");
}

#[test]
fn the_receivers_files_that_no_block_types_are_typed_by_the_kernel() {
    let _kvm = alone(&KVM);
    let test = "the_receivers_files_that_no_block_types_are_typed_by_the_kernel";
    let Some((kvm, _debugfs)) = kvm(test) else {
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let _vcpu = vm.create_vcpu(0).unwrap();
    let metadata = "metadata: {sources: [declared, kernel]}";
    let config = common::config(FILES, metadata, "{format: json}")
        .replace("statsfs", "kvm")
        .replace(FILES, "{sources: [debugfs], normalize_units: true}");
    let output = run(&config, &["--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let metrics = lines(&output.stdout).into_iter().flat_map(|line| {
        let request: Value = serde_json::from_str(&line).unwrap();
        let scopes = request["resourceMetrics"][0]["scopeMetrics"][0].clone();
        scopes["metrics"].as_array().unwrap().clone()
    });
    let metrics: Vec<Value> = metrics.collect();
    let of = |name: &str| metrics.iter().find(|it| it["name"] == name).unwrap();
    assert!(of("kvm/pages_4k")["sum"].is_object());
    assert_eq!(of("kvm/blocking")["unit"], "{vcpu}");
}
