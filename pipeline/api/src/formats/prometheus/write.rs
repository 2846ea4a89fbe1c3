//! The text of an exposition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::escaping::{Escaping, NameOf, escape, escape_quoted};
use super::names::{FamilyKind, double, labels};
use super::settings::Settings;
use super::table_text::{FamilyText, TableRows, TableText, job_and_instance};
use crate::data::{Attributes, Batch, Histogram, Value};

/// Which of Prometheus' text formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// [Text format 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
    #[default]
    Text,
    /// [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/).
    OpenMetrics,
}

/// What is shown at one time. Writing it needs nothing else.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) settings: Arc<Settings>,
    pub(super) tables: Vec<ShownTable>,
}

/// What a table shows.
#[derive(Clone, Debug)]
pub(super) struct ShownTable {
    pub(super) rows: Arc<TableRows>,
    pub(super) batch: Values,
    /// Rows that were refused a line, sorted.
    pub(super) refused: Arc<[u32]>,
}

/// The values of a batch, without its table.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) values: Arc<Vec<Value>>,
    pub(super) times: crate::data::Times,
}

impl Values {
    pub(super) fn of(batch: &Batch) -> Values {
        Values {
            values: batch.shared_values(),
            times: batch.times().clone(),
        }
    }
}

impl Snapshot {
    /// All of it, one HELP and TYPE a family.
    #[must_use]
    pub fn write(&self, format: Format, escaping: Escaping) -> String {
        let mut out = String::new();
        self.write_parts(format, escaping, |part| out.push_str(part));
        out
    }

    /// All of it, in parts of some ten KiB, so that no more of it need be in memory at a time.
    pub fn write_parts(&self, format: Format, escaping: Escaping, to: impl FnMut(&str)) {
        let mut out = Writer {
            to,
            out: String::with_capacity(2 * PART),
            beginnings: (String::new(), String::new()),
            format,
            timestamps: self.settings.timestamps,
        };
        let mut families: BTreeMap<&str, Vec<(&ShownTable, &TableText, &FamilyText)>> =
            BTreeMap::new();
        for table in &self.tables {
            let text = table.rows.text(escaping);
            for family in &text.families {
                let same = families.entry(&family.name).or_default();
                same.push((table, text, family));
            }
        }
        self.write_target_info(escaping, &mut out.out);
        for same in families.into_values() {
            out.family(&same);
        }
        if format == Format::OpenMetrics {
            out.out.push_str("# EOF\n");
        }
        (out.to)(&out.out);
    }

    /// `target_info`: what is known of each resource.
    fn write_target_info(&self, escaping: Escaping, out: &mut String) {
        if !self.settings.target_info || self.tables.is_empty() {
            return;
        }
        let all = self.tables.iter().map(|it| &it.rows.head.resource);
        let lines: BTreeSet<String> = all.map(|it| self.target_labels(it, escaping)).collect();
        out.push_str("# HELP target_info Target metadata\n# TYPE target_info gauge\n");
        for labels in lines {
            let _ = writeln!(out, "target_info{{{labels}}} 1");
        }
    }

    fn target_labels(&self, resource: &Arc<Attributes>, escaping: Escaping) -> String {
        let is_own = *resource == self.settings.own_resource;
        let identity = if is_own {
            Vec::new()
        } else {
            job_and_instance(resource)
        };
        let told = ["service.namespace", "service.name", "service.instance.id"];
        let rest = resource
            .iter()
            .filter(|(key, _)| is_own || !told.contains(&&***key));
        let rest = rest.map(|(key, value)| (&**key, value.to_string()));
        let identity = identity.iter().map(|(key, value)| (&**key, value.clone()));
        labels(identity.chain(rest), &self.settings, escaping)
    }

    /// Whether nothing is shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

/// What is written goes on when it has so many bytes.
const PART: usize = 32 << 10;

struct Writer<F> {
    to: F,
    /// What has not gone on yet.
    out: String,
    /// Those of this family's lines.
    beginnings: (String, String),
    format: Format,
    timestamps: bool,
}

impl<F: FnMut(&str)> Writer<F> {
    /// A family: what several tables show of one metric.
    fn family(&mut self, tables: &[(&ShownTable, &TableText, &FamilyText)]) {
        let Some((_, _, family)) = tables.first() else {
            return;
        };
        let start = self.out.len();
        self.head(family);
        self.beginnings = beginnings(&family.name);
        let mut is_empty = true;
        for (table, text, family) in tables {
            for row in &family.rows {
                if table.refused.binary_search(row).is_err() {
                    is_empty &= !self.row(table, text, family, *row);
                }
            }
            if !is_empty && self.out.len() >= PART {
                (self.to)(&self.out);
                self.out.clear();
            }
        }
        if is_empty {
            self.out.truncate(start);
        }
    }

    fn head(&mut self, family: &FamilyText) {
        let (name, kind) = match self.format {
            Format::Text => (&*family.name, text_kind(family.kind)),
            Format::OpenMetrics => open_metrics_kind(family),
        };
        let (quoted, metric) = (NameOf::Metric.quoted_if_odd(name), &family.metric);
        // A metric that nobody describes is called what it is called elsewhere.
        let help = if metric.description.is_empty() {
            &metric.name
        } else {
            &metric.description
        };
        let help = match self.format {
            Format::Text => escape(help),
            Format::OpenMetrics => escape_quoted(help),
        };
        let _ = writeln!(self.out, "# HELP {quoted} {help}\n# TYPE {quoted} {kind}");
        let unit = &family.unit;
        let has_unit = !unit.is_empty() && name.ends_with(&format!("_{unit}"));
        if self.format == Format::OpenMetrics && has_unit {
            let _ = writeln!(self.out, "# UNIT {quoted} {unit}");
        }
    }

    /// A series. Whether it has something to be written.
    fn row(&mut self, table: &ShownTable, text: &TableText, family: &FamilyText, row: u32) -> bool {
        let time = self.timestamps.then(|| table.batch.times.of(row as usize));
        let labels = text.labels(row);
        match &table.batch.values[row as usize] {
            Value::Int(number) => {
                self.series(labels);
                self.out.push_str(itoa::Buffer::new().format(*number));
                self.end(time);
            }
            Value::Double(number) => {
                self.series(labels);
                self.out.push_str(&double(*number));
                self.end(time);
            }
            Value::Histogram(histogram) => self.histogram(family, labels, histogram, time),
            _ => return false,
        }
        true
    }

    fn histogram(&mut self, family: &FamilyText, labels: &str, it: &Histogram, time: Option<u64>) {
        let line = |suffix: &str| beginnings(&format!("{}{suffix}", family.name));
        let mut count: u64 = 0;
        let bucket = line("_bucket");
        for (bound, more) in family.bounds.iter().zip(&it.counts) {
            count = count.saturating_add(*more);
            self.part(&bucket, labels, bound);
            self.out.push_str(itoa::Buffer::new().format(count));
            self.end(time);
        }
        // OpenMetrics 1.0 has both of them or none, and none where a bound is negative: the last bucket has the count too.
        // https://prometheus.io/docs/specs/om/open_metrics_spec/#histogram-1
        let is_negative = family.bounds.first().is_some_and(|it| it.starts_with('-'));
        let is_open_metrics = self.format == Format::OpenMetrics;
        let sum = it.sum.filter(|_| !(is_open_metrics && is_negative));
        if let Some(sum) = sum {
            self.part(&line("_sum"), labels, "");
            self.out.push_str(&double(sum));
            self.end(time);
        } else if is_open_metrics {
            return;
        }
        self.part(&line("_count"), labels, "");
        self.out.push_str(itoa::Buffer::new().format(count));
        self.end(time);
    }

    /// A line up to its value.
    fn series(&mut self, labels: &str) {
        if labels.is_empty() {
            self.out.push_str(&self.beginnings.1);
        } else {
            self.out.push_str(&self.beginnings.0);
            self.out.push_str(labels);
            self.out.push_str("} ");
        }
    }

    /// A line of a histogram up to its value; `le` is a bucket's upper bound.
    fn part(&mut self, line: &(String, String), labels: &str, le: &str) {
        let out = &mut self.out;
        if labels.is_empty() && le.is_empty() {
            out.push_str(&line.1);
            return;
        }
        out.push_str(&line.0);
        out.push_str(labels);
        if !le.is_empty() {
            let comma = if labels.is_empty() { "" } else { "," };
            let _ = write!(out, "{comma}le=\"{le}\"");
        }
        out.push_str("} ");
    }

    /// The end of a line, after its value.
    fn end(&mut self, time_unix_nano: Option<u64>) {
        if let Some(time) = time_unix_nano {
            let millis = time / 1_000_000;
            let _ = match self.format {
                Format::Text => write!(self.out, " {millis}"),
                Format::OpenMetrics => write!(self.out, " {}.{:03}", millis / 1000, millis % 1000),
            };
        }
        self.out.push('\n');
    }
}

/// What stands before the labels of a line, and what does where it has none.
fn beginnings(name: &str) -> (String, String) {
    if NameOf::Metric.is_legacy(name) {
        return (format!("{name}{{"), format!("{name} "));
    }
    let name = escape_quoted(name);
    (format!("{{\"{name}\","), format!("{{\"{name}\"}} "))
}

fn text_kind(kind: FamilyKind) -> &'static str {
    match kind {
        FamilyKind::Counter => "counter",
        FamilyKind::Gauge => "gauge",
        FamilyKind::Histogram => "histogram",
        FamilyKind::Unknown => "untyped",
    }
}

/// The name and kind of a family: a counter's is that of its lines without `_total`, which they have to have.
fn open_metrics_kind(family: &FamilyText) -> (&str, &'static str) {
    match (family.kind, family.name.strip_suffix("_total")) {
        (FamilyKind::Counter, Some(name)) => (name, "counter"),
        (FamilyKind::Counter | FamilyKind::Unknown, _) => (&family.name, "unknown"),
        (kind, _) => (&family.name, text_kind(kind)),
    }
}
