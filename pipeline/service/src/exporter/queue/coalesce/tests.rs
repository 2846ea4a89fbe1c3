//! What a backend adds up after an outage is what it would have added up without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline::formats::text;
use pipeline::{Batch, Kind, Series, Sweep, Table, Temporality, Times, Value, points};

use super::{GiveWay, thin};
use crate::processor::Request;

/// What a backend knows of a series.
#[derive(Debug, Default, PartialEq)]
struct Known {
    /// What it has added up where it goes by starts, and where it goes by values that fall, as Prometheus does.
    by_starts: i64,
    by_values: i64,
    /// How often it has ended.
    ends: u64,
    last: Option<(u64, u64, Value)>,
}

/// A backend that is given requests one after the other.
#[derive(Debug, Default, PartialEq)]
struct Backend(BTreeMap<String, Known>);

impl Backend {
    fn of(requests: &[Request]) -> Backend {
        let mut backend = Backend::default();
        requests.iter().flatten().for_each(|it| backend.take(it));
        backend
    }

    fn take(&mut self, batch: &Batch) {
        for (row, value) in batch.values().iter().enumerate() {
            let series = &batch.table().series()[row];
            let name = format!("{} {:?}", series.name, series.attributes);
            let (start, time) = (batch.starts_unix_nano()[row], batch.time_unix_nano(row));
            match value {
                Value::Absent => {}
                Value::Ended => self.0.entry(name).or_default().ends += 1,
                value => {
                    let known = self.0.entry(name).or_default();
                    known.add(&series.kind, start, time, value);
                }
            }
        }
    }
}

impl Known {
    fn add(&mut self, kind: &Kind, start: u64, time: u64, value: &Value) {
        let total = total(value);
        let before = self.last.replace((start, time, value.clone()));
        assert!(before.as_ref().is_none_or(|it| it.1 < time), "in order");
        match kind.temporality() {
            None => {}
            Some(Temporality::Delta) => {
                self.by_starts += total;
                self.by_values += total;
                // Where it began is what the model goes by; what it says last is not.
                self.last = Some((0, time, Value::Absent));
            }
            Some(Temporality::Cumulative) => {
                let before = before.map(|(start, _, value)| (start, self::total(&value)));
                let is_amount = *kind == Kind::UP_DOWN_COUNTER;
                let goes_on = |before| before <= total || is_amount;
                self.by_starts += match before {
                    Some((since, before)) if since == start && goes_on(before) => total - before,
                    None if start == 0 || start == time => 0,
                    Some(_) if start == time => 0,
                    _ => total,
                };
                self.by_values += match before {
                    Some((_, before)) if goes_on(before) => total - before,
                    Some(_) => total,
                    None => 0,
                };
            }
        }
    }
}

fn total(value: &Value) -> i64 {
    let count = |it: u64| i64::try_from(it).unwrap();
    match value {
        Value::Int(it) => *it,
        Value::Histogram(it) => count(it.count()),
        Value::ExponentialHistogram(it) => count(it.count()),
        _ => 0,
    }
}

/// A tree whose counters count, restart, fall silent and end.
struct Tree {
    random: fastrand::Rng,
    table: Arc<Table>,
    rows: Vec<(u64, i64)>,
    sweep: u64,
    next_device: usize,
    /// Whether starts are known.
    has_starts: bool,
}

const KINDS: [&str; 8] = [
    "counter",
    "gauge",
    "updown",
    "counter:delta",
    "histogram",
    "histogram:delta",
    "exponential",
    "exponential:delta",
];

fn series(device: usize) -> Series {
    let kind = KINDS[device % KINDS.len()];
    let value = match kind.split(':').next() {
        Some("histogram") => "1.0:0,inf:0",
        Some("exponential") => "scale:3;zero:0",
        _ => "0",
    };
    let line = format!("s/c{device}{{device={device}}} {value} {kind}");
    let batch = &text::parse(&line).unwrap_or_else(|it| panic!("{line}: {it}"))[0];
    batch.table().series()[0].clone()
}

fn table(series: Vec<Series>) -> Arc<Table> {
    let head = text::parse("s/c 1").unwrap()[0].table().head().clone();
    Table::new(head, series)
}

impl Tree {
    fn new(seed: u64) -> Tree {
        let mut random = fastrand::Rng::with_seed(seed);
        let devices = random.usize(1..12);
        let has_starts = random.bool();
        Tree {
            random,
            table: table((0..devices).map(series).collect()),
            rows: vec![(0, 0); devices],
            sweep: 0,
            next_device: devices,
            has_starts,
        }
    }

    /// One that comes, and one that goes.
    fn remake(&mut self) {
        let mut rows = self.table.series().to_vec();
        let gone = self.random.usize(..rows.len());
        rows.remove(gone);
        self.rows.remove(gone);
        rows.push(series(self.next_device));
        self.rows.push((0, 0));
        self.next_device += 1;
        self.table = table(rows);
    }

    fn sweep(&mut self) -> Request {
        self.sweep += 1;
        let now = self.sweep * 1000;
        if self.random.u8(..8) == 0 {
            self.remake();
        }
        let (mut starts, mut values) = (Vec::new(), Vec::new());
        for (row, series) in self.table.series().iter().enumerate() {
            let (start, count) = &mut self.rows[row];
            let is_delta = series.kind.temporality() == Some(Temporality::Delta);
            if self.random.u8(..10) == 0 {
                (*start, *count) = (now - self.random.u64(..2), 0);
            }
            let least = if series.kind == Kind::UP_DOWN_COUNTER {
                -4
            } else {
                0
            };
            let more = self.random.i64(least..5);
            *count = if is_delta { more } else { *count + more };
            let since = if is_delta { now - 1000 } else { *start };
            starts.push(if self.has_starts { since } else { 0 });
            let count = if series.kind == Kind::Gauge {
                self.random.i64(-9..9)
            } else {
                *count
            };
            values.push(match self.random.u8(..12) {
                0 => Value::Absent,
                1 => Value::Ended,
                _ => value(&series.kind, count),
            });
            if matches!(values.last(), Some(Value::Absent)) && is_delta {
                // What is not told now is never told.
                self.rows[row].1 = 0;
            }
        }
        let sweep = Sweep::new(self.sweep, Duration::from_secs(1), true);
        let (table, starts) = (Arc::clone(&self.table), starts.into());
        vec![Batch::new(table, starts, Times::One(now), values, sweep)]
    }
}

fn value(kind: &Kind, count: i64) -> Value {
    let counts = u64::try_from(count).unwrap_or_default();
    match kind {
        Kind::Histogram { .. } => Value::Histogram(Arc::new(pipeline::Histogram {
            counts: vec![counts / 2, counts - counts / 2],
            sum: Some(1.0),
            range: None,
        })),
        Kind::ExponentialHistogram { .. } => {
            Value::ExponentialHistogram(Arc::new(pipeline::ExponentialHistogram {
                scale: 3,
                zero_count: counts / 2,
                positive: (7, vec![counts - counts / 2]),
                ..pipeline::ExponentialHistogram::default()
            }))
        }
        _ => Value::Int(count),
    }
}

#[test]
fn what_a_backend_adds_up_after_an_outage_is_what_it_would_have_added_up_without_it() {
    let (mut gone, mut all) = (0, 0);
    for seed in 0..6000 {
        let how = [GiveWay::Merging, GiveWay::InPlace][usize::from(seed % 2 == 1)];
        let mut tree = Tree::new(seed);
        // A part was sent before the outage.
        let sent = tree.random.usize(..3);
        let sent: Vec<Request> = (0..sent).map(|_| tree.sweep()).collect();
        let (mut waiting, mut read) = (Vec::new(), Vec::new());
        for _ in 0..tree.random.usize(1..40) {
            let request = tree.sweep();
            read.push(request.clone());
            waiting.push(request);
            if tree.random.u8(..6) == 0 {
                let shift = tree.random.u32(1..5);
                let before: Vec<u64> = waiting.iter().map(|it| points(it)).collect();
                let thinned = thin(waiting.iter_mut(), shift, how);
                let after: Vec<u64> = waiting.iter().map(|it| points(it)).collect();
                assert_eq!(
                    before.iter().sum::<u64>(),
                    after.iter().sum::<u64>() + thinned.points,
                    "seed {seed}: all is counted"
                );
                let grow = before.iter().zip(&after).any(|(a, b)| a < b);
                assert!(
                    !grow || how == GiveWay::Merging,
                    "seed {seed}: each has room in its place"
                );
                gone += thinned.points;
            }
            if tree.random.u8(..20) == 0 {
                waiting.retain(|it| !it.is_empty());
            }
        }
        all += read.iter().map(|it| points(it)).sum::<u64>();
        let read = Backend::of(&[sent.clone(), read].concat());
        let waited = Backend::of(&[sent, waiting].concat());
        assert_eq!(waited, read, "seed {seed}");
    }
    assert!(gone > all / 10, "{gone} of {all} gave way");
}

#[test]
fn of_sweeps_without_resets_one_is_left_of_each_window_and_the_first_and_the_last() {
    let request = text::parse("s/c{device=a} 1 counter\ns/c{device=b} 5 gauge").unwrap();
    let sweep = |number: u64| -> Request {
        let batch = &request[0];
        let sweep = Sweep::new(number, Duration::from_secs(1), true);
        let count = i64::try_from(number).unwrap();
        let values = vec![Value::Int(count), Value::Int(-count)];
        let (table, starts) = (batch.table(), batch.starts_unix_nano());
        let (table, starts) = (Arc::clone(table), Arc::clone(starts));
        vec![Batch::new(table, starts, Times::One(number), values, sweep)]
    };
    let mut waiting: Vec<Request> = (0..100).map(sweep).collect();
    let thinned = thin(waiting.iter_mut(), 3, GiveWay::InPlace);
    let left = waiting.iter().flatten().map(|it| it.sweep().number);
    let left: Vec<u64> = left.collect();
    assert_eq!(left, [0, 7, 15, 23, 31, 39, 47, 55, 63, 71, 79, 87, 95, 99]);
    assert_eq!(thinned.points, 2 * (100 - left.len() as u64));
    assert_eq!(thinned.interval, Duration::from_secs(8));
    let tables = waiting.iter().flatten();
    assert!(
        tables
            .into_iter()
            .all(|it| Arc::ptr_eq(it.table(), request[0].table()))
    );
}
