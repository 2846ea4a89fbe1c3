//! docs/telemetry.md has a line for each metric, and no other ones.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline::formats::prometheus::{Escaping, Exposition, Format, Settings};
use pipeline::telemetry::Counters;
use pipeline::{Attributes, Batch, Head, Kind, Metric, Scope, Series, Sweep, Table, Times, Value};
use receiver_internal::metrics::{COMPONENT, MetricInfo, OURS, PREFIX, THEIRS};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// What Prometheus knows a metric by.
fn name_in_prometheus(info: &MetricInfo) -> String {
    let mut metric = Metric::default();
    (metric.name, metric.unit) = (info.name.into(), info.unit.into());
    metric.kind = if info.is_counter {
        Kind::COUNTER
    } else {
        Kind::Gauge
    };
    let head = Head::new(
        Arc::default(),
        Arc::new(Scope::default()),
        "s".into(),
        "s/0".into(),
    );
    let series = Series::of(Arc::new(metric), Arc::new(Attributes::default()));
    let table = Table::new(Arc::new(head), vec![series]);
    let sweep = Sweep::new(0, std::time::Duration::from_secs(1), true);
    let values = vec![Value::Int(1)];
    let batch = Batch::new(table, [0].into(), Times::One(1), values, sweep);
    let mut exposition = Exposition::new(Settings::default(), Counters::new("test"));
    exposition.take(&batch);
    exposition.publish(&[Arc::clone(batch.table())]);
    let text = exposition
        .snapshot()
        .write(Format::Text, Escaping::Underscores);
    let line = text.lines().find_map(|line| line.strip_prefix("# TYPE "));
    line.unwrap().split(' ').next().unwrap().to_owned()
}

fn row(info: &MetricInfo) -> String {
    let label = |key: &&str| match *key {
        COMPONENT => "*component*".to_owned(),
        key => format!("`{key}`"),
    };
    let labels: Vec<String> = info.labels.iter().map(label).collect();
    format!(
        "| `{}` | `{}` | {} | `{}` | {} | {} | {} | {} |\n",
        info.name,
        name_in_prometheus(info),
        if info.is_counter { "counter" } else { "gauge" },
        info.unit,
        labels.join(", "),
        info.level.name(),
        if info.from_start {
            "the start"
        } else {
            "its first count"
        },
        info.description
    )
}

const HEAD: &str = "| in OTLP | in Prometheus | kind | unit | labels | level | there from | what it is |\n|---|---|---|---|---|---|---|---|\n";

#[test]
fn the_tables_of_the_documentation_are_those_of_the_program() {
    let path = repository("docs/telemetry.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let mut parts = document.split(HEAD);
    let mut written = parts.next().unwrap().to_owned();
    for (table, part) in [&THEIRS[..], &OURS].into_iter().zip(parts) {
        let rest = part.trim_start_matches(|c| c != '\n');
        let rest = rest.split_once("\n\n").map_or(rest, |(_, rest)| rest);
        let rows: String = table.iter().map(row).collect();
        written.extend([HEAD, &rows, "\n", rest]);
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(written == found, "UPDATE_EXPECTED=1 writes it:\n{written}");
    assert_eq!(document.matches(HEAD).count(), 2);
}

/// The names in `Counter::sum("name")` and the like below a folder, but for tests.
fn counters_in(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !matches!(name, "tests" | "testing" | "target" | "fake") {
            counters_in(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            for kind in ["sum", "gauge", "maximum"] {
                let call = format!("Counter::{kind}(\"");
                let calls = source.split(&call).skip(1);
                names.extend(calls.map(|it| it.split('"').next().unwrap().to_owned()));
            }
        }
    }
}

/// Counts that the Collector has a name for.
const THEIR_COUNTERS: [&str; 6] = [
    "points_read",
    "points_sent",
    "points_incoming",
    "points_outgoing",
    "queue_size",
    "queue_capacity",
];

#[test]
fn every_counter_of_the_program_is_a_metric_and_every_metric_a_counter() {
    let mut counted = BTreeSet::new();
    for directory in [
        "pipeline",
        "receivers",
        "processors",
        "exporters",
        "extensions",
    ] {
        counters_in(&repository(directory), &mut counted);
    }
    for theirs in THEIR_COUNTERS {
        assert!(counted.remove(theirs), "{theirs}");
    }
    let seconds = |name: String| name.replace("_microseconds", "_seconds");
    let counted: BTreeSet<String> = counted.into_iter().map(seconds).collect();
    let known = OURS.iter().map(|it| it.name.strip_prefix(PREFIX).unwrap());
    // The sum of those of several reasons.
    let known = known.filter(|name| *name != "points_lost");
    let known: BTreeSet<String> = known.map(String::from).collect();
    assert_eq!(known, counted);
}
