//! How fast counters count.

use std::collections::HashMap;
use std::sync::Arc;

use pipeline::{Attributes, Batch, Kind, TableMap, Value};

/// How fast a series has counted since it was last read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rate {
    /// It is no counter, or was not read before.
    Unknown,
    /// It counts anew.
    Reset,
    PerSecond(f64),
}

/// What each counter showed last, by table: what is known of a table is forgotten with it.
#[derive(Debug, Default)]
pub(super) struct Rates(TableMap<HashMap<SeriesKey, Reading>>);

/// Names a series in its table, and in the one that takes its slot.
type SeriesKey = (Arc<str>, Arc<Attributes>);

#[derive(Debug)]
struct Reading {
    value: Value,
    start_unix_nano: u64,
    time_unix_nano: u64,
}

impl Rates {
    /// The rates of a batch's rows since the readings before, which these take the place of.
    pub(super) fn update(&mut self, batch: &Batch) -> Vec<Rate> {
        let table = batch.table();
        self.0.remove_gone();
        let known = self.0.remove(table);
        let known = known.or_else(|| self.0.remove_predecessor(table));
        let mut known = known.unwrap_or_default();
        let mut latest = HashMap::new();
        let rows = table.series().iter().zip(batch.values()).enumerate();
        let rates = rows.map(|(row, (series, value))| {
            let key = (Arc::clone(&series.name), Arc::clone(&series.attributes));
            let before = known.remove(&key);
            if series.kind != Kind::COUNTER || *value == Value::Ended {
                return Rate::Unknown;
            }
            if *value == Value::Absent {
                latest.extend(before.map(|before| (key, before)));
                return Rate::Unknown;
            }
            let now = Reading {
                value: value.clone(),
                start_unix_nano: batch.starts_unix_nano()[row],
                time_unix_nano: batch.time_unix_nano(row),
            };
            let rate = before.map_or(Rate::Unknown, |before| now.rate_since(&before));
            latest.insert(key, now);
            rate
        });
        let rates = rates.collect();
        self.0.insert(table, latest);
        rates
    }
}

impl Reading {
    #[allow(clippy::cast_precision_loss)]
    fn rate_since(&self, before: &Reading) -> Rate {
        let starts = [before.start_unix_nano, self.start_unix_nano];
        let has_new_start = !starts.contains(&0) && starts[0] != starts[1];
        let difference = match (&before.value, &self.value) {
            (Value::Int(before), Value::Int(now)) => {
                (i128::from(*now) - i128::from(*before)) as f64
            }
            (before, now) => number(now) - number(before),
        };
        let nanoseconds = self.time_unix_nano.saturating_sub(before.time_unix_nano);
        if has_new_start || difference < 0.0 {
            Rate::Reset
        } else if nanoseconds == 0 || !difference.is_finite() {
            Rate::Unknown
        } else {
            Rate::PerSecond(difference / (nanoseconds as f64 / 1e9))
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn number(value: &Value) -> f64 {
    match value {
        Value::Int(it) => *it as f64,
        Value::Double(it) => *it,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::formats::text;
    use pipeline::{Head, Series, Sweep, Table, Times};

    const SECOND: u64 = 1_000_000_000;

    /// The table of these points in the notation, whose slot is always the same.
    fn table(points: &str) -> Arc<Table> {
        Arc::clone(text::parse(points).unwrap()[0].table())
    }

    /// What the table shows after so many seconds, started at second `start`.
    fn at(table: &Arc<Table>, seconds: u64, start: u64, values: &[Value]) -> Batch {
        let starts = vec![start * SECOND; values.len()].into();
        let sweep = Sweep::new(seconds, std::time::Duration::from_secs(2), true);
        let time = Times::One(seconds * SECOND);
        Batch::new(Arc::clone(table), starts, time, values.to_vec(), sweep)
    }

    #[test]
    fn counters_have_rates_from_the_second_reading_on_and_nothing_else_has() {
        let table = table("s/a 0 counter\ns/b 0 gauge\ns/c 0\ns/d 0 updown\ns/e 0 counter:delta");
        let mut rates = Rates::default();
        let values = |it: i64| vec![Value::Int(it); 5];
        assert_eq!(
            rates.update(&at(&table, 10, 1, &values(5))),
            [Rate::Unknown; 5]
        );
        let second = rates.update(&at(&table, 14, 1, &values(11)));
        assert_eq!(second[0], Rate::PerSecond(1.5));
        assert_eq!(second[1..], [Rate::Unknown; 4]);
        assert_eq!(
            rates.update(&at(&table, 16, 1, &values(11)))[0],
            Rate::PerSecond(0.0)
        );
    }

    #[test]
    fn a_reset_is_one_whether_the_value_falls_or_the_start_is_new_and_then_it_goes_on() {
        let table = table("s/a 0 counter");
        let mut rates = Rates::default();
        let mut rate = |seconds, start, value| {
            rates.update(&at(&table, seconds, start, &[Value::Int(value)]))[0]
        };
        assert_eq!(rate(10, 0, 5), Rate::Unknown);
        assert_eq!(rate(12, 0, 3), Rate::Reset);
        assert_eq!(rate(14, 0, 7), Rate::PerSecond(2.0));
        assert_eq!(
            rate(16, 1, 9),
            Rate::PerSecond(1.0),
            "a start that comes to be known"
        );
        assert_eq!(rate(18, 17, 100), Rate::Reset);
        assert_eq!(rate(20, 17, 100), Rate::PerSecond(0.0));
        assert_eq!(rate(20, 17, 101), Rate::Unknown, "no time has passed");
        assert_eq!(rate(10, 17, 102), Rate::Unknown, "the clock was set back");
    }

    #[test]
    fn a_gap_is_gone_over_and_an_end_is_not() {
        let table = table("s/a 0 counter");
        let mut rates = Rates::default();
        let mut rate =
            |seconds, value| rates.update(&at(&table, seconds, 1, std::slice::from_ref(&value)))[0];
        rate(10, Value::Int(0));
        assert_eq!(rate(12, Value::Absent), Rate::Unknown);
        assert_eq!(rate(14, Value::Int(8)), Rate::PerSecond(2.0));
        assert_eq!(rate(16, Value::Ended), Rate::Unknown);
        assert_eq!(rate(18, Value::Int(9)), Rate::Unknown);
        assert_eq!(rate(20, Value::Double(10.0)), Rate::PerSecond(0.5));
        assert_eq!(rate(22, Value::Double(f64::NAN)), Rate::Unknown);
    }

    #[test]
    fn what_is_known_goes_to_the_table_that_takes_the_slot_and_dies_with_it() {
        let mut rates = Rates::default();
        let old = table("s/a 0 counter\ns/b 0 counter");
        rates.update(&at(&old, 10, 1, &[Value::Int(0), Value::Int(0)]));
        drop(old);
        let new = table("s/b 0 counter\ns/c 0 counter");
        let shown = rates.update(&at(&new, 12, 1, &[Value::Int(4), Value::Int(4)]));
        assert_eq!(shown, [Rate::PerSecond(2.0), Rate::Unknown]);
        for number in 0..1_000 {
            let slot = format!("test/s/{number}").into();
            let head = Head::new(Arc::default(), Arc::default(), "s".into(), slot);
            let mut series = Series::new("s/once", Arc::default());
            series.kind = Kind::COUNTER;
            let once = Table::new(Arc::new(head), vec![series]);
            rates.update(&at(&once, 12, 1, &[Value::Int(1)]));
        }
        assert!(rates.0.len() < 20, "{}", rates.0.len());
    }
}
