//! A Prometheus exposition of all that is known: text format 0.0.4
//! ([specification](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format)), no timestamps.

mod lines;
mod names;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::data::{Batch, Series, Table, TableMap, Value, address};
use crate::telemetry::{Counter, Counters, DropReason, Warnings};

use lines::{Line, Lines, Refusal};
use names::{double, escape};

/// The latest values of every series.
#[derive(Debug)]
pub struct Exposition {
    counters: Counters,
    warnings: Warnings,
    /// A table that nobody else holds is forgotten once it was written.
    tables: TableMap<Latest>,
    lines: Lines,
    changed: bool,
}

#[derive(Debug)]
struct Latest {
    address: usize,
    /// Held until it was written.
    unwritten: Option<Arc<Table>>,
    series: Arc<Vec<Series>>,
    values: Vec<Value>,
    /// The rows that have no line: why, where they were refused one.
    without_line: BTreeMap<usize, Option<DropReason>>,
}

struct MetricFamily<'a> {
    kind: &'static str,
    metric: &'a str,
    help: &'a str,
    lines: Vec<String>,
}

/// What became of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The exposition of the sweep before; empty where it was written already.
    pub previous: String,
    /// How many of the points are left out. They are counted as dropped.
    pub left_out: u64,
}

impl Exposition {
    /// Of no series yet. What cannot be written is counted as `series_refused` and warned of.
    #[must_use]
    pub fn new(counters: Counters) -> Exposition {
        Exposition {
            warnings: Warnings::new(counters.component()),
            counters,
            tables: TableMap::new(),
            lines: Lines::default(),
            changed: false,
        }
    }

    /// Takes in what a request showed. Where it shows again what was not written yet, that is written first: the
    /// exposition of the sweep before.
    pub fn take(&mut self, request: &[Batch]) -> Taken {
        let is_unwritten = |batch: &Batch| {
            let table = batch.table();
            let known = self.tables.get(table);
            let known = known.or_else(|| self.tables.predecessor(table));
            known.is_some_and(|latest| latest.unwritten.is_some())
        };
        let mut taken = Taken::default();
        if request.iter().any(is_unwritten) {
            taken.previous = self.write();
        }
        self.forget_gone();
        for batch in request.iter().filter(|batch| !batch.table().is_empty()) {
            taken.left_out += self.take_batch(batch);
            self.changed = true;
        }
        taken
    }

    /// Takes in what one table showed; gives how many of its points are left out.
    fn take_batch(&mut self, batch: &Batch) -> u64 {
        let table = batch.table();
        if self.tables.get(table).is_none() {
            if let Some(latest) = self.tables.remove_predecessor(table) {
                latest.release(&mut self.lines);
            }
            self.tables.insert(table, Latest::new(table));
        }
        let latest = self.tables.get_mut(table).expect("inserted above");
        latest.unwritten = Some(Arc::clone(table));
        latest.values = batch.values().to_vec();
        for (row, Refusal(reason, why)) in latest.claim(&mut self.lines) {
            let reason = reason.name();
            self.counters.record_for(Counter::SERIES_REFUSED, reason, 1);
            let message = "series left out of the exposition";
            let series = &table.series()[row];
            self.warnings
                .warn_with(message, || format!("{} {why}", series.name));
        }
        let mut left_out = 0;
        for (row, reason) in &latest.without_line {
            if let (Some(reason), true) = (reason, is_point(&latest.values[*row])) {
                self.counters.dropped(*reason, 1);
                left_out += 1;
            }
        }
        left_out
    }

    /// The whole exposition: one HELP and TYPE a family. Empty if nothing came since the last one.
    pub fn write(&mut self) -> String {
        if !std::mem::take(&mut self.changed) {
            return String::new();
        }
        let tables: Vec<(Arc<Table>, &Latest)> = self.tables.iter().collect();
        let mut families: BTreeMap<String, MetricFamily<'_>> = BTreeMap::new();
        for (table, latest) in &tables {
            let rows = table.series().iter().zip(&latest.values);
            for (row, (series, value)) in rows.enumerate() {
                let number = match value {
                    Value::Int(it) => it.to_string(),
                    Value::Double(it) => double(*it),
                    _ => continue,
                };
                let own = (latest.address, row);
                let line = Line::of(series).filter(|line| self.lines.is_owner(own, line));
                let Some(line) = line else { continue };
                let text = format!("{}{} {number}\n", line.family, line.labels);
                let family = families.entry(line.family);
                let family = family.or_insert_with(|| MetricFamily {
                    kind: line.kind,
                    metric: &series.name,
                    help: &series.description,
                    lines: Vec::new(),
                });
                family.lines.push(text);
            }
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
        self.tables.values_mut().for_each(|it| it.unwritten = None);
        self.forget_gone();
        out
    }

    /// Forgets the tables that have gone, whose lines are free again.
    fn forget_gone(&mut self) {
        for latest in self.tables.take_gone() {
            latest.release(&mut self.lines);
        }
    }
}

impl Latest {
    fn new(table: &Arc<Table>) -> Latest {
        Latest {
            address: address(table),
            unwritten: None,
            series: table.shared_series(),
            values: Vec::new(),
            without_line: (0..table.len()).map(|row| (row, None)).collect(),
        }
    }

    /// Claims lines for the rows that have none and show something; those that have ended give theirs back. Gives the rows
    /// that are refused one for the first time.
    fn claim(&mut self, lines: &mut Lines) -> Vec<(usize, Refusal)> {
        for (row, value) in self.values.iter().enumerate() {
            if *value == Value::Ended {
                lines.release((self.address, row), &self.series[row]);
                self.without_line.insert(row, None);
            }
        }
        let mut refused = Vec::new();
        self.without_line.retain(|row, reason| {
            if !is_point(&self.values[*row]) {
                return true;
            }
            let claimed = lines.claim((self.address, *row), &self.series[*row]);
            let Err(refusal) = claimed else { return false };
            if reason.replace(refusal.0).is_none() {
                refused.push((*row, refusal));
            }
            true
        });
        refused
    }

    /// Gives all lines back.
    fn release(&self, lines: &mut Lines) {
        let rows = self.series.iter().enumerate();
        rows.for_each(|(row, series)| lines.release((self.address, row), series));
    }
}

/// Whether it is to be written. The end of a series shows by its absence.
fn is_point(value: &Value) -> bool {
    !matches!(value, Value::Absent | Value::Ended)
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
        let taken = exposition.take(&batches.unwrap());
        assert_eq!((&*taken.previous, taken.left_out), ("", 1));
        let text = exposition.write();
        let expected = "# HELP kvm_e kvm/e\n# TYPE kvm_e gauge\nkvm_e{device=\"\"} 1e300\n\
             # HELP kvm_x_total kvm/x_total\n# TYPE kvm_x_total counter\nkvm_x_total{a_b=\"1;2\"} 5.5\n# HELP net_0 net/0\n# TYPE net_0 gauge\nnet_0 4\n\
             # HELP net_n_dash_total net/n-dash\n# TYPE net_n_dash_total counter\nnet_n_dash_total{device=\"/a\"} 1\nnet_n_dash_total{device=\"q\\\"\\n\\\\\"} 3\n";
        assert_eq!(text, expected);
        assert_eq!(counters.total("series_refused"), 1);
        assert_eq!((counters.total("points_dropped"), counters.lost()), (1, 1));
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
        let (tables, (lines, families)) = (exposition.tables.len(), exposition.lines.len());
        assert!(tables <= 2 && lines <= 2 && families <= 2, "{exposition:?}");
    }

    #[test]
    fn a_line_is_free_again_when_its_series_has_ended_or_its_table_has_gone() {
        let batch = |line: &str| text::parse(line).unwrap();
        let counters = Counters::new("stdout");
        let mut exposition = Exposition::new(counters.clone());
        let (first, second) = (batch("s/a-b 1 gauge"), batch("s_a/b 2 gauge"));
        let mut sweep = |of: &[Batch]| exposition.take(of).left_out;
        assert_eq!((sweep(&first), sweep(&second), sweep(&second)), (0, 1, 1));
        assert_eq!(counters.total("series_refused"), 1, "once");
        let ended = first[0].with_values(vec![Value::Ended]);
        assert_eq!((sweep(&[ended]), sweep(&second), sweep(&first)), (0, 0, 1));
        drop(second);
        exposition.write();
        assert_eq!(exposition.take(&first).left_out, 0);
        assert!(exposition.write().ends_with("\ns_a_b 1\n"));
    }
}
