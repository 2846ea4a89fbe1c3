//! Two sweeps of a table: the older one gives way to the newer one.

use std::collections::HashMap;
use std::sync::Arc;

use pipeline::{Batch, Kind, Table, Times, Value};

use super::last_points::LastPoints;
use super::point::{self, Older, Point};
use super::rows::TableIndex;
use super::{GiveWay, KEPT};

/// Two sweeps, and what is known around them.
pub(super) struct Pair<'a> {
    before: &'a LastPoints,
    /// What was kept of sweeps between them: the first point of each row of the older one.
    between: HashMap<usize, Point<'a>>,
    older: &'a Batch,
    newer: &'a Batch,
    /// Where series are in the newer one.
    rows: TableIndex,
}

/// What is left of both.
pub(super) struct GivenWay {
    pub(super) older: Batch,
    pub(super) newer: Batch,
    /// How many points are gone.
    pub(super) gone: u64,
    /// The rows of the older one whose points stand in the newer one, as they are.
    pub(super) moved: Vec<usize>,
}

/// A value that comes to stand in the newer batch.
struct Change {
    row: usize,
    start: u64,
    time: u64,
    value: Value,
}

impl<'a> Pair<'a> {
    pub(super) fn new(
        before: &'a LastPoints,
        between: HashMap<usize, Point<'a>>,
        older: &'a Batch,
        newer: &'a Batch,
    ) -> Pair<'a> {
        Pair {
            before,
            between,
            older,
            newer,
            rows: TableIndex::new(newer.table()),
        }
    }

    pub(super) fn give_way(self, how: GiveWay) -> GivenWay {
        let (mut gone, mut moved) = (0, Vec::new());
        let (mut kept, mut changes) = (Vec::new(), Vec::new());
        for (row, series) in self.older.table().series().iter().enumerate() {
            let this = Point::of(self.older, row);
            match self.fate(row, &series.kind) {
                (Older::Gone, _) => gone += u64::from(!matches!(this.value, Value::Absent)),
                (Older::Moved | Older::Added(_), _) if how == GiveWay::InPlace => kept.push(row),
                (Older::Moved, Some(at)) => {
                    moved.push(row);
                    changes.push(Change::new(at, this, this.time, this.value.clone()));
                }
                (Older::Added(sum), Some(at)) => {
                    gone += 1;
                    let time = self.newer.time_unix_nano(at);
                    changes.push(Change::new(at, this, time, sum));
                }
                (Older::Kept, _) | (_, None) => kept.push(row),
            }
        }
        let (older, newer) = if kept.len() < self.older.points() {
            (only(self.older, &kept), changed(self.newer, changes))
        } else {
            (self.older.clone(), self.newer.clone())
        };
        GivenWay {
            older,
            newer,
            gone,
            moved,
        }
    }

    /// What becomes of the point of this row, and where the series is in the newer batch.
    fn fate(&self, row: usize, kind: &Kind) -> (Older, Option<usize>) {
        let (before, this) = (self.before.of(row), Point::of(self.older, row));
        if let Some(next) = self.between.get(&row) {
            let fate = point::older(kind, before, this, *next);
            let is_gone = fate == Older::Gone;
            return (if is_gone { fate } else { Older::Kept }, None);
        }
        let at = self.rows.find(self.older.table(), row);
        let fate = at.map_or_else(
            || {
                if matches!(this.value, Value::Absent) {
                    Older::Gone
                } else {
                    Older::Kept
                }
            },
            |at| point::older(kind, before, this, Point::of(self.newer, at)),
        );
        (fate, at)
    }
}

impl Change {
    fn new(row: usize, older: Point<'_>, time: u64, value: Value) -> Change {
        let start = older.start;
        Change {
            row,
            start,
            time,
            value,
        }
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
    let slot = format!("{}#{}{KEPT}", head.table_slot, batch.sweep().number).into();
    let series = rows.iter().map(|row| batch.table().series()[*row].clone());
    let table = Table::new(Arc::new(head.with_table_slot(slot)), series.collect());
    let rows = rows
        .iter()
        .map(|row| u32::try_from(*row).unwrap_or(u32::MAX));
    batch.with_table(table, Some(&rows.collect::<Vec<_>>()))
}
