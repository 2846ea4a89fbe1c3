//! A far end that adds up what counters say, as their starts tell it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{collector, lines_until, signal, text};

/// A data point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// The metric and its labels, `net/tx_bytes{device=eth0}`.
    pub(super) series: String,
    /// None where the series ends.
    pub(super) value: Option<u64>,
    pub(super) start: u64,
    pub(super) time: u64,
}

impl Point {
    /// Whether it says that nobody knows since when it counts
    /// ([OpenTelemetry: resets and gaps](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps)).
    pub(super) fn is_baseline(&self) -> bool {
        self.start == self.time
    }
}

/// What was counted, series by series; it outlives the program that sends.
#[derive(Debug, Default)]
pub(super) struct FarEnd {
    series: BTreeMap<String, (Point, u64)>,
}

impl FarEnd {
    /// Takes a point. Whatever came before: a start is not after its point, and another one than before is not before the
    /// last point.
    fn take(&mut self, point: Point) {
        let Some(value) = point.value else { return };
        assert!(0 < point.start && point.start <= point.time, "{point:?}");
        let last = self.series.get(&point.series);
        let counted = match last {
            Some((last, _)) if last.start == point.start => {
                let before = last.value.unwrap();
                assert!(
                    value >= before,
                    "it fell without a new start: {last:?} {point:?}"
                );
                value - before
            }
            _ if point.is_baseline() => 0,
            _ => value,
        };
        if let Some((last, _)) = last.filter(|(last, _)| last.start != point.start) {
            assert!(
                point.start >= last.time,
                "a start before the last point: {last:?} {point:?}"
            );
        }
        let total = last.map_or(0, |(_, total)| *total) + counted;
        self.series.insert(point.series.clone(), (point, total));
    }

    /// What the series of this metric have counted in all.
    pub(super) fn total(&self, metric: &str) -> u64 {
        let prefix = format!("{metric}{{");
        let of_metric = self
            .series
            .iter()
            .filter(|(series, _)| series.starts_with(&prefix));
        of_metric.map(|(_, (_, total))| total).sum()
    }
}

/// A program that sends to a far end.
pub(super) struct Sender {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Sender {
    pub(super) fn start(config: &str) -> Sender {
        let mut child = collector(config, &[]);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Sender { child, stdout }
    }

    /// Takes points until one is wanted, and whatever came with it; gives them all.
    pub(super) fn until(
        &mut self,
        far_end: &mut FarEnd,
        is_wanted: impl FnMut(&Point) -> bool,
    ) -> Vec<Point> {
        points_until(&mut self.stdout, far_end, is_wanted)
    }

    /// Ends it without a warning, but of what has no match yet; the rest goes to the far end as well. What it logged.
    pub(super) fn end(self, far_end: &mut FarEnd) -> String {
        signal(&self.child, Signal::TERM);
        for line in self.stdout.lines() {
            points(&line.unwrap())
                .into_iter()
                .for_each(|point| far_end.take(point));
        }
        let output = self.child.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        let warnings = stderr.lines().filter(|line| line.contains("WARN"));
        let is_known = |line: &str| line.contains("matches nothing that the first scan has found");
        assert!(
            output.status.success() && warnings.into_iter().all(is_known),
            "{stderr}"
        );
        stderr
    }
}

fn points_until(
    from: &mut impl BufRead,
    far_end: &mut FarEnd,
    mut is_wanted: impl FnMut(&Point) -> bool,
) -> Vec<Point> {
    let mut all = Vec::new();
    lines_until(from, |line| {
        let points = points(line);
        points.iter().for_each(|point| far_end.take(point.clone()));
        let is_last = points.iter().any(&mut is_wanted);
        all.extend(points);
        is_last
    });
    all
}

/// The counters' points in a line of OTLP's JSON.
fn points(line: &str) -> Vec<Point> {
    let line: Value = serde_json::from_str(line).unwrap();
    let all = |parent: &Value, key: &str| parent[key].as_array().cloned().unwrap_or_default();
    let resources = all(&line, "resourceMetrics").into_iter();
    let scopes = resources.flat_map(|it| all(&it, "scopeMetrics"));
    let metrics = scopes.flat_map(|it| all(&it, "metrics"));
    let of_metric = |metric: Value| {
        let name = metric["name"].as_str().unwrap().to_owned();
        let points = all(&metric["sum"], "dataPoints").into_iter();
        points.map(move |point| {
            let number = |key: &str| point[key].as_str().map(|it| it.parse::<u64>().unwrap());
            let labels = all(&point, "attributes").into_iter().map(|label| {
                let value = label["value"]["stringValue"].as_str().unwrap();
                format!("{}={value}", label["key"].as_str().unwrap())
            });
            Point {
                series: format!("{name}{{{}}}", labels.collect::<Vec<_>>().join(",")),
                value: number("asInt"),
                start: number("startTimeUnixNano").unwrap_or_default(),
                time: number("timeUnixNano").unwrap(),
            }
        })
    };
    metrics.flat_map(of_metric).collect()
}
