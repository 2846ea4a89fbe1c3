//! What `inspect` lists is what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use pipeline::formats::text::{self as notation, identity};
use pipeline::{AnyValue, Attributes};
use serde_json::Value;

use super::records;
use crate::common::alone::{KVM, alone};
use crate::common::{repository, run, text};

/// Metric and labels of a record, in the notation.
fn series(record: &Value) -> String {
    let labels = record["labels"].as_object().unwrap().iter();
    let labels = labels.map(|(key, value)| {
        let value = match value {
            Value::String(text) => AnyValue::from(text.as_str()),
            Value::Number(number) if number.is_i64() => AnyValue::Int(number.as_i64().unwrap()),
            Value::Number(number) => AnyValue::Double(number.as_f64().unwrap()),
            Value::Bool(it) => AnyValue::Bool(*it),
            other => panic!("{other}"),
        };
        (key.as_str(), value)
    });
    let labels: Attributes = labels.collect();
    identity(record["metric"].as_str().unwrap(), &labels)
}

/// The series of what `stdout` writes as text, with kind and unit.
fn written(stdout: &[u8]) -> BTreeMap<String, String> {
    let batches = notation::parse(&text(stdout)).unwrap();
    let series = batches.iter().flat_map(|it| it.table().series());
    let series = series.map(|it| {
        let kind = notation::kind_word(&it.kind);
        (
            identity(&it.name, &it.attributes),
            format!("{kind} {}", it.unit),
        )
    });
    series.collect()
}

/// Those that are read by `inspect --read`, and what `--once` writes, of one configuration.
fn assert_agrees(name: &str, config: &str) -> usize {
    let listed = records(Some(config), &["--read"]);
    let read = listed.iter().filter(|it| it["state"] == "read");
    let read: BTreeSet<String> = read.map(series).collect();
    let output = run(config, &["--once"]);
    let written: BTreeSet<String> = written(&output.stdout).into_keys().collect();
    assert_eq!(read, written, "{name}: {}", text(&output.stderr));
    read.len()
}

#[test]
fn the_series_that_are_read_are_those_that_once_writes() {
    // The default sweeps KVM's files too.
    let _kvm = alone(&KVM);
    let tree = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    let kvm = repository("tests/fixtures/kvm-statsfs-liiling/sys/kernel/statsfs");
    let receiver = |root: &std::path::Path| format!("{{root: {}}}", root.display());
    for name in ["default", "local", "metadata-and-labels", "host"] {
        let config =
            fs::read_to_string(repository("configs").join(format!("{name}.yaml"))).unwrap();
        let config = config.replace(
            "${env:STATSFS_ROOT:-/sys/kernel/statsfs}",
            tree.to_str().unwrap(),
        );
        let config = config.replace("format: prometheus", "format: text");
        assert!(assert_agrees(name, &config) > 0, "{name}");
    }
    for (name, processors) in [
        ("plain", ""),
        ("separate", "metadata: {aggregates: separate}"),
        (
            "aggregated",
            "metadata: ; aggregate: {rules: [{without: [device], function: sum}]}; batch:",
        ),
        (
            "renamed twice",
            "labels: {actions: [{name: {template: 'a.{metric}'}}]}; labels/2: {actions: [{drop: {match: {name: 'a.rx_*'}}}, {set: {label: \"x y\", value: 'a\"b'}}]}",
        ),
        (
            "made the same",
            "labels: {actions: [{delete: {label: device}}]}",
        ),
    ] {
        for root in [&tree, &kvm] {
            let config = crate::common::config(&receiver(root), processors, "{}");
            assert!(assert_agrees(name, &config) > 0, "{name}");
        }
    }
    let two = format!(
        "receivers: {{statsfs/a: {0}, statsfs/b: {0}, statsfs/c: {1}}}\nprocessors: {{labels: {{actions: [{{set: {{label: p, value: '2'}}}}]}}}}\nexporters: {{stdout: }}\n\
         service: {{pipelines: {{metrics/1: {{receivers: [statsfs/a, statsfs/b], exporters: [stdout]}}, \
         metrics/2: {{receivers: [statsfs/a, statsfs/c], processors: [labels], exporters: [stdout]}}, metrics/3: {{receivers: [statsfs/c], exporters: [stdout]}}}}}}\n",
        receiver(&tree),
        receiver(&kvm)
    );
    assert!(assert_agrees("joined", &two) > 0);
}

#[test]
fn each_statistics_file_of_this_kernel_is_listed_once_and_as_once_shows_it() {
    let _kvm = alone(&KVM);
    let mut files = BTreeSet::new();
    for device in fs::read_dir("/sys/class/net").unwrap() {
        let device = device.unwrap();
        let directory = device.path().join("statistics");
        for file in fs::read_dir(directory).into_iter().flatten() {
            let (device, file) = (device.file_name(), file.unwrap().file_name());
            files.insert(format!(
                "net/{}/statistics/{}",
                device.display(),
                file.display()
            ));
        }
    }
    assert!(!files.is_empty());
    let listed = records(None, &["net/*/statistics/*"]);
    let sources: Vec<String> = listed
        .iter()
        .map(|it| it["source"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sources.len(), files.len());
    assert_eq!(sources.into_iter().collect::<BTreeSet<_>>(), files);
    let shown = std::process::Command::new(crate::common::BINARY)
        .arg("--once")
        .output()
        .unwrap();
    let shown = written(&shown.stdout);
    for record in &listed {
        let of = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(of("state"), "read", "{record}");
        let expected = format!("{} {}", of("kind"), of("unit"));
        assert_eq!(shown.get(&series(record)), Some(&expected), "{record}");
        assert_eq!(record["exporters"], serde_json::json!({"stdout": "10s"}));
    }
}
