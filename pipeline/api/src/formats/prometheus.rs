//! A Prometheus exposition of all that is known: text format 0.0.4
//! ([specification](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format)), no timestamps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::data::{Attributes, Batch, Kind, Series, Table, TableMap, Value};
use crate::telemetry::{Counter, Counters, Warnings, without_controls};

/// The latest values of every series.
#[derive(Debug)]
pub struct Exposition {
    counters: Counters,
    warnings: Warnings,
    /// A table that nobody else holds is forgotten once it was written.
    tables: TableMap<Latest>,
    /// The metric that has a family, where two end up with one name: the first keeps it.
    families: HashMap<String, Arc<str>>,
    changed: bool,
}

#[derive(Debug)]
struct Latest {
    /// Held until it was written.
    unwritten: Option<Arc<Table>>,
    values: Vec<Value>,
}

struct MetricFamily<'a> {
    kind: &'static str,
    metric: &'a str,
    help: &'a str,
    lines: Vec<String>,
    labels: HashSet<String>,
}

impl Exposition {
    /// Of no series yet. What cannot be written is counted as `series_refused` and warned of.
    #[must_use]
    pub fn new(counters: Counters) -> Exposition {
        Exposition {
            warnings: Warnings::new(counters.component()),
            counters,
            tables: TableMap::new(),
            families: HashMap::new(),
            changed: false,
        }
    }

    /// Takes in what a request showed. Where it shows again what was not written yet, that is written first: the
    /// exposition of the sweep before.
    pub fn take(&mut self, request: &[Batch]) -> String {
        let is_unwritten = |batch: &Batch| {
            let table = batch.table();
            let known = self.tables.get(table);
            let known = known.or_else(|| self.tables.predecessor(table));
            known.is_some_and(|latest| latest.unwritten.is_some())
        };
        let previous = if request.iter().any(is_unwritten) {
            self.write()
        } else {
            String::new()
        };
        for batch in request {
            let table = batch.table();
            let latest = Latest {
                unwritten: Some(Arc::clone(table)),
                values: batch.values().to_vec(),
            };
            if self.tables.get(table).is_none() {
                self.tables.remove_predecessor(table);
            }
            self.tables.insert(table, latest);
            self.changed = true;
        }
        previous
    }

    /// The whole exposition: one HELP and TYPE a family. Empty if nothing came since the last one.
    pub fn write(&mut self) -> String {
        if !std::mem::take(&mut self.changed) {
            return String::new();
        }
        let mut latest = std::mem::take(&mut self.tables);
        let tables: Vec<(Arc<Table>, &Latest)> = latest.iter().collect();
        let mut families: BTreeMap<String, MetricFamily<'_>> = BTreeMap::new();
        for (table, latest) in &tables {
            for (series, value) in table.series().iter().zip(&latest.values) {
                let number = match value {
                    Value::Int(it) => it.to_string(),
                    Value::Double(it) => format!("{it:?}"),
                    Value::Histogram(_) | Value::ExponentialHistogram(_) => {
                        let why = "is a histogram, which is not written";
                        self.refuse(series, "histogram", why);
                        continue;
                    }
                    _ => continue,
                };
                self.line(series, &number, &mut families);
            }
        }
        if self.families.len() > families.len() {
            // Those whose metrics have gone: the name is free again.
            let all = tables.iter().flat_map(|(table, _)| table.series());
            let names: HashSet<&str> = all.map(|series| &*series.name).collect();
            self.families.retain(|_, owner| names.contains(&**owner));
        }
        let mut out = String::new();
        for (name, mut family) in families {
            // A metric that nobody describes is called what it is called elsewhere.
            let help = if family.help.is_empty() {
                family.metric
            } else {
                family.help
            };
            let help = escape(help);
            let _ = writeln!(out, "# HELP {name} {help}");
            let _ = writeln!(out, "# TYPE {name} {}", family.kind);
            family.lines.sort_unstable();
            family.lines.iter().for_each(|line| out.push_str(line));
        }
        drop(tables);
        latest.values_mut().for_each(|it| it.unwritten = None);
        latest.retain(|is_gone, _| !is_gone);
        self.tables = latest;
        out
    }

    fn refuse(&self, series: &Series, reason: &'static str, why: &str) {
        self.counters.record_for(Counter::SERIES_REFUSED, reason, 1);
        let message = "series left out of the exposition";
        self.warnings
            .warn_with(message, || format!("{} {why}", series.name));
    }

    fn line<'a>(
        &mut self,
        series: &'a Series,
        number: &str,
        families: &mut BTreeMap<String, MetricFamily<'a>>,
    ) {
        let (kind, suffix) = match series.kind {
            Kind::Sum {
                monotonic: true, ..
            } => ("counter", "_total"),
            _ => ("gauge", ""),
        };
        let mut name = sanitize(&series.name, true);
        if !name.ends_with(suffix) {
            name.push_str(suffix);
        }
        let labels = labels(&series.attributes);
        let owner = self
            .families
            .entry(name.clone())
            .or_insert_with(|| Arc::clone(&series.name));
        let known = families.get(&name);
        // One family has one kind and one name behind it; one line a set of labels.
        let is_allowed =
            known.is_none_or(|family| family.kind == kind && !family.labels.contains(&labels));
        if *owner != series.name || !is_allowed {
            let owner = Arc::clone(owner);
            let why = format!("would be {name} for Prometheus, which {owner} is already");
            self.refuse(series, "collision", &why);
            return;
        }
        let family = families
            .entry(name.clone())
            .or_insert_with(|| MetricFamily {
                kind,
                metric: &series.name,
                help: &series.description,
                lines: Vec::new(),
                labels: HashSet::new(),
            });
        family.lines.push(format!("{name}{labels} {number}\n"));
        family.labels.insert(labels);
    }
}

/// `{a="b",c="d"}`, or nothing. Keys that become one keep the first value.
fn labels(attributes: &Attributes) -> String {
    let mut out = String::new();
    let mut keys = HashSet::new();
    for (key, value) in attributes.iter() {
        let key = sanitize(key, false);
        if !keys.insert(key.clone()) {
            continue;
        }
        let value = escape(&value.to_string()).replace('"', "\\\"");
        let _ = write!(
            out,
            "{}{key}=\"{value}\"",
            if out.is_empty() { '{' } else { ',' }
        );
    }
    if !out.is_empty() {
        out.push('}');
    }
    out
}

/// As the format writes a backslash and a line break; it knows nothing for other characters that are not seen.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    without_controls(&escaped).into_owned()
}

/// Odd characters become `_`; a digit may not be first. Colons may stand in names, not in labels.
fn sanitize(name: &str, colon: bool) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
    let mut out: String = name
        .chars()
        .map(|c| if is_allowed(c) { c } else { '_' })
        .collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::text;

    #[test]
    fn one_family_has_one_head_and_collisions_are_left_out_and_counted() {
        let batches = text::parse(
            "net/n-dash{device=/a} 1 counter\nnet/n_dash{device=/a} 2 counter\nnet/n-dash{device=\"q\\\"\\n\\\\\"} 3 counter\n\
             net/0{} 4 gauge\nkvm/x_total{a-b=1,a.b=2} 5.5 counter\nkvm/gone end gauge\nkvm/e{device=\"\"} 1e300 gauge\n",
        );
        let counters = Counters::new("stdout");
        let mut exposition = Exposition::new(counters.clone());
        assert_eq!(exposition.take(&batches.unwrap()), "");
        let text = exposition.write();
        let expected = "# HELP kvm_e kvm/e\n# TYPE kvm_e gauge\nkvm_e{device=\"\"} 1e300\n\
             # HELP kvm_x_total kvm/x_total\n# TYPE kvm_x_total counter\nkvm_x_total{a_b=\"1\"} 5.5\n# HELP net_0 net/0\n# TYPE net_0 gauge\nnet_0 4\n\
             # HELP net_n_dash_total net/n-dash\n# TYPE net_n_dash_total counter\nnet_n_dash_total{device=\"/a\"} 1\nnet_n_dash_total{device=\"q\\\"\\n\\\\\"} 3\n";
        assert_eq!(text, expected);
        assert_eq!(counters.total("series_refused"), 1);
        assert_eq!(exposition.write(), "", "nothing new");
    }

    #[test]
    fn no_control_or_format_character_is_in_it_but_the_end_of_a_line() {
        let batches =
            text::parse("s/a{k=\"\\t\\u001b[2J\\u202e\\u2028\\n\\u009b\"} 1 gauge").unwrap();
        let mut exposition = Exposition::new(Counters::new("stdout"));
        exposition.take(&batches);
        let expected = "# HELP s_a s/a\n# TYPE s_a gauge\ns_a{k=\"\u{fffd}\u{fffd}[2J\u{fffd}\u{fffd}\\n\u{fffd}\"} 1\n";
        assert_eq!(exposition.write(), expected);
    }

    #[test]
    fn what_is_known_of_a_table_dies_with_it() {
        let mut exposition = Exposition::new(Counters::new("stdout"));
        for number in 0..1_000 {
            exposition.take(&text::parse(&format!("s/once{number} 1 gauge")).unwrap());
            exposition.write();
        }
        let known = (exposition.tables.len(), exposition.families.len());
        assert!(known.0 <= 2 && known.1 <= 2, "{known:?}");
    }
}
