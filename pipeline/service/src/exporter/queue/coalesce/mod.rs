//! The sweeps that wait are thinned: what an outage of any length costs is how often a series was seen, never a total.
//!
//! Of the sweeps of a table whose numbers fall into one window the last one stays. The others give way to it, row by row,
//! by the [rules of points](point): what it does not hold is kept in a batch of those rows only.

mod last_points;
mod pair;
mod point;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline::Batch;

use crate::processor::Request;

use last_points::LastPoints;
use pair::Pair;

/// Behind the table slot of a batch that has only rows that may not give way, with the number of its sweep before it: no
/// two tables have one slot.
const KEPT: &str = "#kept";

/// How a point gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum GiveWay {
    /// It goes, or into a later request: to where its series shows nothing, or into a later delta.
    Merging,
    /// It goes, or stays where it is: for requests of which another holder may have the whole, or that have no room to grow.
    InPlace,
}

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

/// The slot of the table that a batch is of, or has some rows of.
fn slot_of(batch: &Batch) -> Arc<str> {
    let slot = &batch.table().head().table_slot;
    let whole = slot.strip_suffix(KEPT).and_then(|it| it.rsplit_once('#'));
    whole.map_or_else(|| Arc::clone(slot), |(slot, _)| Arc::from(slot))
}

/// Thins the sweeps of each table in these requests, which are in order: one is left of 2^`shift` in a row, and the first.
/// What is left of a request may be empty.
pub(in super::super) fn thin<'a>(
    requests: impl Iterator<Item = &'a mut Request>,
    shift: u32,
    how: GiveWay,
) -> Thinned {
    let mut slots: HashMap<Arc<str>, Vec<&mut Batch>> = HashMap::new();
    let mut requests: Vec<&mut Request> = requests.collect();
    for batch in requests.iter_mut().flat_map(|it| it.iter_mut()) {
        let slot = slot_of(batch);
        slots.entry(slot).or_default().push(batch);
    }
    let mut thinned = Thinned::default();
    for mut batches in slots.into_values() {
        let (points, interval) = thin_table(&mut batches, shift, how);
        thinned.points += points;
        thinned.interval = thinned.interval.max(interval);
    }
    for request in requests {
        request.retain(|batch| batch.points() > 0);
    }
    thinned
}

/// Thins the sweeps of one table. How many points gave way, and the time between the sweeps that are left.
fn thin_table(batches: &mut [&mut Batch], shift: u32, how: GiveWay) -> (u64, Duration) {
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
    // What is known of each series begins with a sweep that has all of them.
    let first = next.keys().min().copied().unwrap_or_default();
    let is_whole = |batch: &Batch| batch.points() == batch.table().len() && !is_kept(batch);
    let whole = (0..first).rev().find(|it| is_whole(batches[*it]));
    let mut before = LastPoints::default();
    for index in whole.unwrap_or_default()..batches.len() {
        let batch = batches[index].clone();
        let mut moved = Vec::new();
        if let Some(next) = next.get(&index) {
            before.follow(batch.table());
            let between = before.first_of(&batches[index + 1..*next]);
            let pair = Pair::new(&before, between, &batch, batches[*next]);
            let result = pair.give_way(how);
            (*batches[index], *batches[*next]) = (result.older, result.newer);
            gone += result.gone;
            moved = result.moved;
            let sweeps = 1_u32.checked_shl(shift).unwrap_or(u32::MAX);
            interval = interval.max(batch.sweep().tick.saturating_mul(sweeps));
        }
        before.add(&batch, &moved);
    }
    (gone, interval)
}
