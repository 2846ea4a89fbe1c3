//! The fixture trees, swept by the real binary, give what their expected files say.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{self, once, repository};

fn expected(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository("tests/fixtures").join(name)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["points"]
        .as_array()
        .unwrap()
        .clone()
}

/// `NAME{labels} VALUE KIND`, as the program writes it without unit.
fn line(name: &str, labels: &Value, value: &str, kind: &str) -> String {
    let labels: BTreeSet<_> = labels
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap()))
        .collect();
    let quoted = |text: &str| {
        if text.is_empty() {
            "\"\"".into()
        } else {
            text.to_owned()
        }
    };
    let labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={}", quoted(value)))
        .collect();
    format!("{name}{{{}}} {value} {kind}", labels.join(","))
}

fn sweep(fixture: &str, root: &str, metadata: &str) -> BTreeSet<String> {
    let root = repository("tests/fixtures").join(fixture).join(root);
    let lines = once(&format!("{{root: {}}}", root.display()), metadata);
    let without_unit = lines
        .iter()
        .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "));
    let all: BTreeSet<String> = without_unit.collect();
    assert_eq!(all.len(), lines.len(), "no series twice");
    all
}

#[test]
fn the_seeds_plain_tree_is_twelve_gauges() {
    let expected = expected("seed-plain.expected.json");
    let expected: BTreeSet<_> = expected
        .iter()
        .map(|it| {
            line(
                it["metric"].as_str().unwrap(),
                &it["labels"],
                &it["value"].to_string(),
                "gauge",
            )
        })
        .collect();
    assert_eq!(expected.len(), 12);
    assert_eq!(
        sweep("seed-plain", "sys/kernel/stats", "metadata: {}; batch: {}"),
        expected
    );
}

#[test]
fn the_seeds_schema_says_what_each_metric_is() {
    let points = expected("seed-schema.expected.json");
    let expected: BTreeSet<_> = points
        .iter()
        .map(|it| {
            let kind = if it["flag"] == "CUMULATIVE" {
                "counter"
            } else {
                "gauge"
            };
            let value = it["value"].as_f64().unwrap();
            let value = if it["type"] == "FLOAT" {
                format!("{value:?}")
            } else {
                format!("{value}")
            };
            line(it["metric"].as_str().unwrap(), &it["labels"], &value, kind)
        })
        .collect();
    assert_eq!(expected.len(), 12);
    assert_eq!(
        sweep("seed-schema", "sys/kernel/stats", "metadata: {}; batch: {}"),
        expected
    );
}

#[test]
fn network_statistics_are_counters_by_the_catalog() {
    let points = expected("net-statsfs.expected.json");
    let expected: BTreeSet<_> = points
        .iter()
        .map(|it| {
            let value = it["value"].as_i64().map_or_else(
                || format!("{:?}", it["value"].as_f64().unwrap()),
                |it| it.to_string(),
            );
            line(
                it["metric"].as_str().unwrap(),
                &it["labels"],
                &value,
                "counter",
            )
        })
        .collect();
    assert_eq!(expected.len(), 72);
    assert!(expected.contains("net/rx_bytes{device=/eth0} 1.8446744073709552e19 counter"));
    assert_eq!(
        sweep("net-statsfs", "sys/kernel/stats", "metadata: {}; batch: {}"),
        expected
    );
}

fn kvm(only_members: bool) -> BTreeSet<String> {
    let points = expected("kvm-statsfs-liiling.expected.json");
    let points = points
        .iter()
        .filter(|it| !only_members || it["aggregate"] == false);
    points
        .map(|it| {
            let kind = if it["floating"] == true {
                "gauge"
            } else {
                "counter"
            };
            line(
                &format!("kvm/{}", it["name"].as_str().unwrap()),
                &it["labels"],
                &it["value"].to_string(),
                kind,
            )
        })
        .collect()
}

#[test]
fn the_kvm_tree_of_2020_is_read_on_all_levels_or_on_the_finest() {
    let root = "sys/kernel/statsfs";
    let (all, members) = (kvm(false), kvm(true));
    assert_eq!((all.len(), members.len()), (204, 114));
    assert_eq!(
        sweep(
            "kvm-statsfs-liiling",
            root,
            "metadata: {aggregates: keep}; batch: {}"
        ),
        all
    );
    assert_eq!(
        sweep("kvm-statsfs-liiling", root, "metadata: {}; batch: {}"),
        members
    );
    let apart = sweep(
        "kvm-statsfs-liiling",
        root,
        "metadata: {aggregates: separate}",
    );
    assert_eq!(apart.len(), 204);
    assert_eq!(
        apart
            .iter()
            .filter(|line| line.contains(".aggregate{") && line.ends_with(" updown"))
            .count(),
        90
    );
    assert_eq!(
        sweep("kvm-statsfs-liiling", root, "metadata: {aggregates: drop}"),
        members
    );
}

#[test]
fn every_corner_of_a_schema_gives_what_its_expected_file_says() {
    let root = repository("tests/fixtures/schema-corner-cases");
    let output = common::run(
        &common::config(
            &format!("{{root: {}}}", root.join("stats").display()),
            "metadata: {}",
            "{}",
        ),
        &["--once"],
    );
    let lines = common::lines(&output.stdout);
    let mut cases = 0;
    for case in std::fs::read_dir(root.join("stats")).unwrap() {
        let case = case.unwrap().file_name().into_string().unwrap();
        let expected = std::fs::read_to_string(root.join("expected").join(format!("{case}.txt")))
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        let found: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with(&format!("{case}/")))
            .cloned()
            .collect();
        assert_eq!(found, expected.lines().collect::<Vec<_>>(), "{case}");
        cases += 1;
    }
    assert_eq!(
        cases,
        std::fs::read_dir(root.join("expected")).unwrap().count()
    );
    // Each bad line costs itself: counted, and named in one line for all.
    let stderr = common::text(&output.stderr);
    assert_eq!(
        stderr.matches("not understood in a `.schema`").count(),
        1,
        "{stderr}"
    );
    assert!(stderr.contains("schema_lines_failed="), "{stderr}");
}
