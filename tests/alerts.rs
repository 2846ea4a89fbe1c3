//! `deploy/prometheus`: what Prometheus' own tool says of it, and that an operator finds what an alert means.

use std::collections::BTreeSet;
use std::process::Command;

use serde_yaml::Value;

use crate::common::{repository, text};
use crate::prometheus::has_promtool;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap()
}

fn list(of: &Value) -> &[Value] {
    of.as_sequence().unwrap()
}

fn alerts() -> Vec<Value> {
    list(&yaml("deploy/prometheus/alerts.yml")["groups"][0]["rules"]).to_vec()
}

/// The metrics of the program's own telemetry in a text.
pub(crate) fn own_metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let own = words.filter(|it| it.starts_with("otelcol_") || it.starts_with("statsfs_collector_"));
    own.map(str::to_owned).collect()
}

/// Those that docs/telemetry.md has.
pub(crate) fn known_metrics() -> BTreeSet<String> {
    own_metrics(&read("docs/telemetry.md"))
}

#[test]
fn promtool_takes_the_scrape_configuration_and_each_alert_fires_when_it_should_and_not_else() {
    let test =
        "promtool_takes_the_scrape_configuration_and_each_alert_fires_when_it_should_and_not_else";
    if !has_promtool(test) {
        return;
    }
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        let promtool = promtool.args(arguments);
        let output = promtool
            .current_dir(repository("deploy/prometheus"))
            .output();
        let output = output.unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {stdout}{stderr}");
    }
}

#[test]
fn each_alert_is_tested_both_ways_and_has_its_section_in_the_operations_guide() {
    let tests = yaml("deploy/prometheus/alerts.test.yml");
    let cases = list(&tests["tests"]);
    let cases = cases.iter().flat_map(|it| list(&it["alert_rule_test"]));
    let cases: Vec<_> = cases.collect();
    let operations = read("docs/operations.md");
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let own = |fires: bool| {
            let mut cases = cases.iter();
            cases.any(|it| it["alertname"] == name && it.get("exp_alerts").is_some() == fires)
        };
        assert!(own(true) && own(false), "{name}");
        assert!(operations.contains(&format!("\n### {name}\n")), "{name}");
        let annotations = &alert["annotations"];
        for key in ["summary", "description"] {
            assert!(annotations[key].as_str().is_some_and(|it| !it.is_empty()));
        }
        let runbook = format!("docs/operations.md#{}", name.to_lowercase());
        assert_eq!(annotations["runbook"], *runbook, "{name}");
        assert!(alert["labels"]["severity"].as_str().is_some(), "{name}");
    }
    let sections = operations.matches("\n### StatsfsCollector").count();
    assert_eq!(sections, alerts().len());
}

#[test]
fn alerts_and_the_operations_guide_know_no_metric_that_the_program_has_not() {
    let known = known_metrics();
    for path in ["deploy/prometheus/alerts.yml", "docs/operations.md"] {
        let used = own_metrics(&read(path));
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(
            !used.is_empty() && unknown.is_empty(),
            "{path}: {unknown:?}"
        );
    }
}
