//! How a table is read: the job and what comes back of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::{Batch, Sweep, Table, Times, Value, now_unix_nano};

use super::{TableSnapshot, TableState};
use crate::read::{FdCache, Job, Precedence, Readings, Rows, Selection};
use crate::root::Root;
use crate::tables::row_state::{RowActions, RowState};

/// What is sent when a job is done.
#[derive(Debug)]
pub(crate) struct PendingBatch {
    pub(crate) table: Arc<Table>,
    pub(crate) starts: Arc<[u64]>,
    pub(crate) rows: Arc<Rows>,
    pub(crate) actions: RowActions,
}

impl TableState {
    /// Whether this sweep includes the table.
    pub(crate) fn is_due(&self, number: u64, tick: Duration) -> bool {
        let turn = self.want.turn(number, tick);
        turn.is_some() && turn != self.last_turn && self.fds.is_some()
    }

    /// The job that reads its rows, and the batch that is sent afterwards. `None` while a reader has it.
    pub(crate) fn start_read(
        &mut self,
        number: u64,
        tick: Duration,
        (root, keep_open): (Option<Arc<Root>>, bool),
        deadline: Instant,
    ) -> Option<(Job, PendingBatch)> {
        let TableSnapshot {
            table,
            starts,
            rows,
        } = self.snapshot.clone()?;
        let fds = self.fds.take()?;
        self.last_turn = self.want.turn(number, tick);
        let row_count = u32::try_from(table.len()).unwrap_or(u32::MAX);
        let actions = self.row_states.plan_sweep(row_count, number);
        self.tombstones += actions.ended.len();
        let job = Job {
            rows: Arc::clone(&rows),
            root,
            keep_open,
            fds,
            selection: Selection::All {
                skip: Arc::clone(&actions.skip),
                first: self.missed.unwrap_or_default(),
            },
            precedence: Precedence::Normal,
            deadline,
            readings: Readings::default(),
        };
        let pending = PendingBatch {
            table,
            starts,
            rows,
            actions,
        };
        Some((job, pending))
    }

    /// A batch of it without a value, for which nothing is read.
    pub(crate) fn unread(&self, sweep: Sweep) -> Option<Batch> {
        let TableSnapshot { table, starts, .. } = self.snapshot.clone()?;
        let rows = 0..u32::try_from(table.len()).unwrap_or(u32::MAX);
        let value = |row| {
            if self.is_live(row) {
                Value::Absent
            } else {
                Value::Ended
            }
        };
        let values = rows.map(value);
        let (values, time) = (values.collect(), Times::One(now_unix_nano()));
        Some(Batch::new(table, starts, time, values, sweep))
    }

    /// Takes the descriptors back, and closes those of rows that ended meanwhile; without any they stay with a reader that waits.
    pub(crate) fn finish_read(&mut self, fds: Option<FdCache>) {
        self.fds = Some(fds.unwrap_or_else(|| FdCache::new(self.fd_budget.clone())));
        for row in std::mem::take(&mut self.ended_while_read) {
            self.close_row(row);
        }
    }

    /// Whether a row was tried before: it has given values as long as it has no state.
    pub(crate) fn was_tried(&self, row: u32) -> bool {
        row < self.tried_rows
    }

    /// Its first `row_count` rows have been tried.
    pub(crate) fn set_tried(&mut self, row_count: usize) {
        self.tried_rows = u32::try_from(row_count).unwrap_or(u32::MAX);
    }

    /// The file that this job waited for has answered: it is slow, or had no time enough.
    pub(crate) fn clear_stuck(&mut self, job: u64, had_time: bool) {
        self.row_states.clear_stuck(job, had_time);
    }

    /// The row that waits for this job.
    pub(crate) fn stuck_row(&self, job: u64) -> Option<u32> {
        let mut rows = self.row_states.iter();
        rows.find_map(|(row, state)| (state == RowState::Stuck(job)).then_some(row))
    }

    /// The file of a live row took this job long: it is read apart from now on, or still.
    pub(crate) fn set_slow(&mut self, row: u32, job: u64) {
        if self.is_live(row) {
            self.row_states.set_slow(row, job);
            if let Some(fds) = &mut self.fds {
                fds.close_file(row);
            }
        }
    }

    /// The file of a slow row was quick.
    pub(crate) fn clear_slow(&mut self, row: u32) {
        self.row_states.clear_slow(row);
    }

    /// Rows were not reached in time: the next sweep begins where this one ended. Behind a file that did not
    /// answer they may be alike: each is read apart.
    pub(crate) fn set_missed(&mut self, rows: &[u32], is_stalled: bool) {
        let first = self.missed.unwrap_or_default();
        let next = rows.iter().find(|row| **row >= first).or(rows.first());
        self.missed = next.copied();
        if is_stalled {
            let live = rows.iter().filter(|row| self.is_live(**row));
            for row in live.copied().collect::<Vec<_>>() {
                self.row_states.set_missed(row);
            }
        }
    }

    /// Whether it is to be read before others: the last sweep did not reach all of it in time; or it gives series up, which
    /// another table goes on with.
    pub(crate) fn urgency(&self) -> u8 {
        match (self.last_turn, self.missed) {
            (None, _) => 0,
            (_, Some(_)) => 1,
            _ => 2,
        }
    }
}
