//! The queries of the dashboards, wherever in them they stand, as Grafana would ask them.

use serde_json::Value;

use crate::common::repository;

/// Which Prometheus is asked is a variable.
pub(super) const DATASOURCE: &str = "${DS_PROMETHEUS}";

/// All dashboards, by their files' names.
pub(super) fn dashboards() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(repository("deploy/grafana")).unwrap();
    let mut all: Vec<_> = files
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "json"))
        .map(|it| {
            let text = std::fs::read_to_string(&it).unwrap();
            let name = it.file_name().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    all.sort_by(|a: &(String, Value), b| a.0.cmp(&b.0));
    assert!(all.len() >= 3, "{all:?}");
    all
}

/// All of them, with values in the place of variables.
pub(super) fn queries() -> Vec<String> {
    let mut all = Vec::new();
    for (name, dashboard) in dashboards() {
        let mut found = Vec::new();
        collect(&dashboard, &mut found);
        assert!(!found.is_empty(), "{name}");
        all.extend(found.iter().map(|it| chosen(it)));
    }
    all
}

/// What is asked in a value and in all below: `expr` of panels, `definition` of variables.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (&**key, value) {
                    ("expr", Value::String(query)) => found.push(query.clone()),
                    ("definition", Value::String(query)) => found.push(of_labels(query)),
                    _ => collect(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|it| collect(it, found)),
        _ => {}
    }
}

/// `label_values(SERIES, LABEL)`, which is Grafana's own, as Prometheus would be asked.
fn of_labels(query: &str) -> String {
    let arguments = query.strip_prefix("label_values(").unwrap();
    let (series, label) = arguments
        .strip_suffix(')')
        .unwrap()
        .rsplit_once(", ")
        .unwrap();
    format!("count by ({label}) ({series}) > 0")
}

/// With everything chosen, which is what they begin with, and an interval.
fn chosen(query: &str) -> String {
    let query = query.replace("$__rate_interval", "30s");
    let query = ["$instance", "$vm", "$device"]
        .iter()
        .fold(query, |query, variable| query.replace(variable, ".+"));
    assert!(!query.contains('$'), "{query}");
    query
}
