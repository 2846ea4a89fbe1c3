//! The sweeps that wait are thinned: what an outage of any length costs is how often a series was seen, never a total.
//!
//! Of the sweeps of a table whose numbers fall into one window the last one stays. The others give way to it, row by row,
//! by the [rules of points](point): what it does not hold is kept in a batch of those rows only.

mod last_points;
mod point;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline::{Batch, Table, Times, Value};

use crate::processor::Request;

use last_points::LastPoints;
use point::{Older, Point};
use rows::TableIndex;

/// Behind the table slot of a batch that has only rows that may not give way.
const KEPT: &str = "#kept";

/// What was thinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Thinned {
    /// How many points gave way.
    pub(in super::super) points: u64,
    /// The time from one sweep of a table that is left to the next one, at the most.
    pub(in super::super) interval: Duration,
    /// How many points were lost all the same: of those that may not give way there were too many.
    pub(in super::super) lost: u64,
}

/// Whether a batch only has rows that may not give way.
pub(super) fn is_kept(batch: &Batch) -> bool {
    batch.table().head().table_slot.ends_with(KEPT)
}

/// Thins the sweeps of each table in these requests, which are in order: one is left of 2^`shift` in a row, and the first.
/// What is left of a request may be empty.
pub(super) fn thin<'a>(requests: impl Iterator<Item = &'a mut Request>, shift: u32) -> Thinned {
    let mut slots: HashMap<Arc<str>, Vec<&mut Batch>> = HashMap::new();
    let mut requests: Vec<&mut Request> = requests.collect();
    for batch in requests.iter_mut().flat_map(|it| it.iter_mut()) {
        let slot = &batch.table().head().table_slot;
        let slot = slot
            .strip_suffix(KEPT)
            .map_or_else(|| Arc::clone(slot), Arc::from);
        slots.entry(slot).or_default().push(batch);
    }
    let mut thinned = Thinned::default();
    for mut batches in slots.into_values() {
        let (points, interval) = thin_table(&mut batches, shift);
        thinned.points += points;
        thinned.interval = thinned.interval.max(interval);
    }
    for request in requests {
        request.retain(|batch| batch.points() > 0);
    }
    thinned
}

/// Thins the sweeps of one table. How many points gave way, and the time between the sweeps that are left.
fn thin_table(batches: &mut [&mut Batch], shift: u32) -> (u64, Duration) {
    let sweeps = (0..batches.len()).filter(|index| !is_kept(batches[*index]));
    let sweeps: Vec<usize> = sweeps.collect();
    let window = |index: usize| batches[index].sweep().number >> shift;
    // The first sweep stays: what was before it is not known any more.
    let pairs = sweeps
        .windows(2)
        .skip(1)
        .filter(|pair| window(pair[0]) == window(pair[1]));
    let next: HashMap<usize, usize> = pairs.map(|pair| (pair[0], pair[1])).collect();
    let (mut gone, mut interval) = (0, Duration::ZERO);
    if next.is_empty() {
        return (gone, interval);
    }
    let mut before = LastPoints::default();
    for index in 0..batches.len() {
        let batch = batches[index].clone();
        if let Some(next) = next.get(&index) {
            before.follow(batch.table());
            let (older, newer) = batches.split_at_mut(*next);
            gone += give_way(&before, older[index], newer[0]);
            let sweeps = 1_u32.checked_shl(shift).unwrap_or(u32::MAX);
            interval = interval.max(batch.sweep().tick.saturating_mul(sweeps));
        }
        before.add(&batch);
    }
    (gone, interval)
}

/// A value that comes to stand in the newer batch.
struct Change {
    row: usize,
    start: u64,
    time: u64,
    value: Value,
}

/// Lets the older batch give way to the newer one. How many points are gone.
fn give_way(before: &LastPoints, older: &mut Batch, newer: &mut Batch) -> u64 {
    let rows = TableIndex::new(newer.table());
    let (mut gone, mut kept, mut changes) = (0, Vec::new(), Vec::new());
    for (row, series) in older.table().series().iter().enumerate() {
        let this = point(older, row);
        if matches!(this.value, Value::Absent) {
            continue;
        }
        let fate = rows.find(older.table(), row).map(|at| {
            let fate = point::older(&series.kind, before.of(row), this, point(newer, at));
            (at, fate)
        });
        let (at, time, value) = match fate {
            None | Some((_, Older::Kept)) => {
                kept.push(row);
                continue;
            }
            Some((_, Older::Gone)) => {
                gone += 1;
                continue;
            }
            Some((at, Older::Moved)) => (at, this.time, this.value.clone()),
            Some((at, Older::Added(sum))) => {
                gone += 1;
                (at, newer.time_unix_nano(at), sum)
            }
        };
        let start = this.start;
        changes.push(Change {
            row: at,
            start,
            time,
            value,
        });
    }
    if kept.len() < older.points() {
        *newer = changed(newer, changes);
        *older = only(older, &kept);
    }
    gone
}

fn point(batch: &Batch, row: usize) -> Point<'_> {
    Point {
        start: batch.starts_unix_nano()[row],
        time: batch.time_unix_nano(row),
        value: &batch.values()[row],
    }
}

/// The batch with these values.
fn changed(batch: &Batch, changes: Vec<Change>) -> Batch {
    if changes.is_empty() {
        return batch.clone();
    }
    let mut values = batch.values().to_vec();
    let mut starts = batch.starts_unix_nano().to_vec();
    let times = (0..values.len()).map(|row| batch.time_unix_nano(row));
    let mut times: Vec<u64> = times.collect();
    let (mut is_restarted, mut is_retimed) = (false, false);
    for change in changes {
        is_restarted |= starts[change.row] != change.start;
        is_retimed |= times[change.row] != change.time;
        starts[change.row] = change.start;
        times[change.row] = change.time;
        values[change.row] = change.value;
    }
    let batch = if is_retimed {
        let (table, starts) = (
            Arc::clone(batch.table()),
            Arc::clone(batch.starts_unix_nano()),
        );
        Batch::new(
            table,
            starts,
            Times::Each(times.into()),
            values,
            batch.sweep(),
        )
    } else {
        batch.with_values(values)
    };
    if is_restarted {
        batch.with_starts(starts.into())
    } else {
        batch
    }
}

/// These rows of the batch only.
fn only(batch: &Batch, rows: &[usize]) -> Batch {
    let head = batch.table().head();
    let slot = format!("{}{KEPT}", head.table_slot).into();
    let series = rows.iter().map(|row| batch.table().series()[*row].clone());
    let table = Table::new(Arc::new(head.with_table_slot(slot)), series.collect());
    let rows = rows
        .iter()
        .map(|row| u32::try_from(*row).unwrap_or(u32::MAX));
    batch.with_table(table, Some(&rows.collect::<Vec<_>>()))
}
