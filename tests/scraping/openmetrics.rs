//! OpenMetrics, read by the parser of Prometheus' own Python client.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pipeline::formats::prometheus::{Escaping, Exposition, Format, Settings};
use pipeline::telemetry::Counters;

use super::Scraped;
use crate::common::{lacks, repository, text};
use crate::prometheus::{assert_parses, has_promtool};

/// The Python that has the parser.
fn python(test: &str) -> Option<PathBuf> {
    let python = repository(".tools/prometheus/bin/python");
    if python.exists() {
        return Some(python);
    }
    let what = "prometheus-client of PyPI, which .ci/run installs into .tools/prometheus";
    lacks(test, what);
    None
}

/// How many samples it finds beside `target_info`.
fn samples(python: &PathBuf, exposition: &str) -> usize {
    let script = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        samples = [s for f in parse(sys.stdin.read()) for s in f.samples]\n\
        print(len([s for s in samples if s.name != 'target_info']))";
    let mut parser = Command::new(python);
    let parser = parser.args(["-c", script]).stdin(Stdio::piped());
    let parser = parser.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut parser = parser.spawn().unwrap();
    let mut stdin = parser.stdin.take().unwrap();
    stdin.write_all(exposition.as_bytes()).unwrap();
    drop(stdin);
    let parsed = parser.wait_with_output().unwrap();
    let stderr = text(&parsed.stderr);
    assert!(parsed.status.success(), "{stderr}\n{exposition}");
    text(&parsed.stdout).trim().parse().unwrap()
}

#[test]
fn the_python_clients_parser_reads_openmetrics_and_quoted_names() {
    let test = "the_python_clients_parser_reads_openmetrics_and_quoted_names";
    let Some(python) = python(test) else { return };
    let tree = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    for (strategy, escaping) in [
        ("UnderscoreEscapingWithSuffixes", "underscores"),
        ("UnderscoreEscapingWithoutSuffixes", "underscores"),
        ("NoUTF8EscapingWithSuffixes", "allow-utf-8"),
        ("NoTranslation", "allow-utf-8"),
        ("NoTranslation", "values"),
    ] {
        let scraped = Scraped::start(
            &tree,
            &format!("send_timestamps: true, translation_strategy: {strategy}"),
        );
        let accept =
            format!("Accept: application/openmetrics-text;version=1.0.0;escaping={escaping}");
        let answer = scraped.scrape(&[&accept]);
        let found = samples(&python, answer.body());
        assert_eq!(found, 72, "{strategy} {escaping}: {}", answer.body());
        scraped.end();
    }
}

#[test]
fn histograms_with_and_without_a_sum_are_read_in_both_formats() {
    let test = "histograms_with_and_without_a_sum_are_read_in_both_formats";
    let lines = "s/a{k=v} 1.0:2,inf:3;sum:7.5 histogram\ns/a{k=w} 1.0:2,inf:3 histogram\n\
        s/b 1.0:2,inf:3 histogram\ns/c -1.0:2,inf:3;sum:-7.5 histogram";
    let batches = pipeline::formats::text::parse(lines).unwrap();
    let mut exposition = Exposition::new(Settings::default(), Counters::new("prometheus"));
    for batch in &batches {
        assert_eq!(exposition.take(batch), 0);
        exposition.publish(&[Arc::clone(batch.table())]);
    }
    let snapshot = exposition.snapshot();
    if let Some(python) = python(test) {
        let written = snapshot.write(Format::OpenMetrics, Escaping::Underscores);
        assert_eq!(samples(&python, &written), 4 + 2 + 2 + 2, "{written}");
    }
    if has_promtool(test) {
        let written = snapshot.write(Format::Text, Escaping::Underscores);
        assert_parses(written.as_bytes());
    }
}
