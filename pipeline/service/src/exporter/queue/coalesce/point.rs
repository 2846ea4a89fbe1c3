//! Which of two points of a series is still to be sent, where the older one should give way.

use std::sync::Arc;

use pipeline::{Batch, ExponentialHistogram, Histogram, Kind, Temporality, Value};

/// A point of a series.
#[derive(Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) start: u64,
    pub(super) time: u64,
    pub(super) value: &'a Value,
}

impl Point<'_> {
    /// The point of this row.
    pub(super) fn of(batch: &Batch, row: usize) -> Point<'_> {
        Point {
            start: batch.starts_unix_nano()[row],
            time: batch.time_unix_nano(row),
            value: &batch.values()[row],
        }
    }
}

/// What becomes of the older one.
#[derive(Debug, PartialEq)]
pub(super) enum Older {
    /// The newer one holds what it said.
    Gone,
    /// It is sent as it is.
    Kept,
    /// There is no newer one: it goes to its place.
    Moved,
    /// The newer one has this value instead, since the start of the older one.
    Added(Value),
}

/// By OpenTelemetry's data model
/// ([temporality](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#temporality),
/// [resets](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps)). `before` is the start and the
/// value of the point before the older one, where that is known.
pub(super) fn older(
    kind: &Kind,
    before: Option<(u64, &Value)>,
    older: Point<'_>,
    newer: Point<'_>,
) -> Older {
    match (older.value, newer.value) {
        (Value::Absent, _) => Older::Gone,
        (_, Value::Absent) => Older::Moved,
        (Value::Ended, _) | (_, Value::Ended) => Older::Kept,
        _ => match kind.temporality() {
            None => Older::Gone,
            Some(Temporality::Delta) => added(older, newer).map_or(Older::Kept, Older::Added),
            Some(Temporality::Cumulative) => {
                let (this, next) = ((older.start, older.value), (newer.start, newer.value));
                let is_inside = before.is_some_and(|before| continues(kind, before, this))
                    && continues(kind, this, next);
                if is_inside { Older::Gone } else { Older::Kept }
            }
        },
    }
}

/// Whether a cumulative point counts on from the one before: there is no reset between them.
fn continues(kind: &Kind, before: (u64, &Value), after: (u64, &Value)) -> bool {
    let is_monotonic = !matches!(
        kind,
        Kind::Sum {
            monotonic: false,
            ..
        }
    );
    let is_value = !matches!(before.1, Value::Absent | Value::Ended);
    is_value && before.0 == after.0 && (!is_monotonic || is_at_least(after.1, before.1))
}

/// Whether a total has not gone down.
fn is_at_least(total: &Value, before: &Value) -> bool {
    match (total, before) {
        (Value::Int(total), Value::Int(before)) => total >= before,
        (Value::Double(total), Value::Double(before)) => total >= before,
        (Value::Histogram(total), Value::Histogram(before)) => {
            let mut pairs = total.counts.iter().zip(&before.counts);
            total.counts.len() == before.counts.len() && pairs.all(|(a, b)| a >= b)
        }
        (Value::ExponentialHistogram(total), Value::ExponentialHistogram(before)) => {
            total.count() >= before.count()
        }
        _ => false,
    }
}

/// Two deltas in a row as one, where they can be.
fn added(older: Point<'_>, newer: Point<'_>) -> Option<Value> {
    let is_in_order = newer.start == 0 || older.time <= newer.start;
    if !is_in_order {
        return None;
    }
    match (older.value, newer.value) {
        (Value::Int(a), Value::Int(b)) => Some(Value::Int(a.checked_add(*b)?)),
        (Value::Double(a), Value::Double(b)) => Some(Value::Double(a + b)),
        (Value::Histogram(a), Value::Histogram(b)) => {
            let counts = counts(&a.counts, &b.counts)?;
            let (sum, range) = (sum(a.sum, b.sum), range(a.range, b.range));
            Some(Value::Histogram(Arc::new(Histogram { counts, sum, range })))
        }
        (Value::ExponentialHistogram(a), Value::ExponentialHistogram(b)) => {
            let both = exponential(a, b)?;
            Some(Value::ExponentialHistogram(Arc::new(both)))
        }
        _ => None,
    }
}

fn counts(a: &[u64], b: &[u64]) -> Option<Vec<u64>> {
    let mut pairs = a.iter().zip(b);
    let is_alike = a.len() == b.len();
    is_alike.then(|| {
        pairs.try_fold(Vec::new(), |mut all, (a, b)| {
            all.push(a.checked_add(*b)?);
            Some(all)
        })
    })?
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? + b?)
}

fn range(a: Option<(f64, f64)>, b: Option<(f64, f64)>) -> Option<(f64, f64)> {
    let (a, b) = (a?, b?);
    Some((a.0.min(b.0), a.1.max(b.1)))
}

/// Those of one scale and one width of the zero bucket, whose buckets are in the same places; others stay two points.
fn exponential(a: &ExponentialHistogram, b: &ExponentialHistogram) -> Option<ExponentialHistogram> {
    let is_alike = a.scale == b.scale && a.zero_threshold.to_bits() == b.zero_threshold.to_bits();
    is_alike.then(|| {
        Some(ExponentialHistogram {
            scale: a.scale,
            zero_count: a.zero_count.checked_add(b.zero_count)?,
            zero_threshold: a.zero_threshold,
            positive: buckets(&a.positive, &b.positive)?,
            negative: buckets(&a.negative, &b.negative)?,
            sum: sum(a.sum, b.sum),
            range: range(a.range, b.range),
        })
    })?
}

/// The most buckets that two histograms together may have: more are not added up, so that two far from each other take no
/// memory for what is between.
const MAX_BUCKETS: usize = 1024;

fn buckets(a: &(i32, Vec<u64>), b: &(i32, Vec<u64>)) -> Option<(i32, Vec<u64>)> {
    if a.1.is_empty() || b.1.is_empty() {
        return Some(if a.1.is_empty() { b.clone() } else { a.clone() });
    }
    let first = a.0.min(b.0);
    let at = |from: i32| usize::try_from(i64::from(from) - i64::from(first)).ok();
    let len = (at(a.0)?.checked_add(a.1.len())?).max(at(b.0)?.checked_add(b.1.len())?);
    if len > MAX_BUCKETS {
        return None;
    }
    let mut all = vec![0_u64; len];
    for (from, counts) in [a, b] {
        for (bucket, count) in all[at(*from)?..].iter_mut().zip(counts) {
            *bucket = bucket.checked_add(*count)?;
        }
    }
    Some((first, all))
}
