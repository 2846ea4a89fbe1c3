//! Stuck files, which do not answer: they are given up, and a subsystem that has too many of them is suspended.

use std::sync::Arc;
use std::time::Instant;

use pipeline::{Batch, LeftOut};

use super::Sweeps;
use super::table_read::TableRead;
use crate::counters::{FILES_FAILED, FILES_STUCK};
use crate::read::{Cancelled, Reason, STALL_TIMEOUT};
use crate::tables::{RowState, TableId};

/// A job that its sweep no longer waits for: the row that it is at waits for the job.
#[derive(Debug)]
pub(super) struct AbandonedJob {
    pub(super) subsystem: Arc<str>,
    pub(super) table: TableId,
    /// Whether the file has not answered within `timeout`, rather than not in time for its sweep.
    pub(super) given_up: bool,
}

impl Sweeps {
    /// Looks for files that do not answer. One that has not within `timeout` is given up, warned about, and not read again
    /// until it answers. A sweep whose time is over ends without what is still being read. Returns the batches of both.
    pub(crate) fn give_up_stuck(&mut self) -> std::io::Result<Vec<Batch>> {
        let mut batches = Vec::new();
        for (number, row) in self.readers.find_stuck()? {
            let id = self.jobs.get(&number).copied();
            self.abandon(number, row);
            self.give_up(number);
            self.count_stuck();
            batches.extend(id.and_then(|id| self.finish_table(id)));
            self.failure_log.flush();
            if self.readers.is_halted() {
                let message = "nothing is read below this root any more: all threads that `max_stuck` allows wait for files that do not answer";
                self.failure_log.warnings().warn_again(message, "");
            }
        }
        let now = Instant::now();
        let is_over = |(_, read): &(&TableId, &TableRead)| now >= read.deadline + STALL_TIMEOUT;
        let over = self.reads.iter().filter(is_over).map(|(id, _)| *id);
        for id in over.collect::<Vec<_>>() {
            batches.extend(self.end_overdue_table(id));
        }
        Ok(batches)
    }

    /// The file at which this job is has not answered within `timeout`.
    fn give_up(&mut self, number: u64) {
        let Some(job) = self.abandoned.get_mut(&number) else {
            return;
        };
        job.given_up = true;
        let table = self.tables.get(job.table);
        if let Some((table, row)) = table.and_then(|it| Some((it, it.stuck_row(number)?))) {
            if let Some(read) = self.reads.get_mut(&job.table) {
                read.set_stuck(row);
            }
            let (reason, path) = (Reason::Stuck, || table.path(row));
            if self.plan.inspects {
                let left_out = LeftOut::new(path(), reason.name(), reason.cause());
                self.no_value.push(left_out);
            }
            self.failure_log
                .record(FILES_FAILED, reason.name(), reason.cause(), path);
        }
    }

    /// Counts the files that do not answer now.
    pub(super) fn count_stuck(&self) {
        let stuck = self.abandoned.values().filter(|it| it.given_up).count();
        self.context.counters.record(FILES_STUCK, stuck as u64);
    }

    /// A sweep no longer waits for a job that is at this row.
    fn abandon(&mut self, number: u64, row: u32) {
        let Some(id) = self.jobs.remove(&number) else {
            return;
        };
        let Some(read) = self.reads.get_mut(&id) else {
            return;
        };
        read.give_up_job(number, None);
        read.set_stalled();
        if let Some(table) = self.tables.get_mut(id)
            && table.is_live(row)
        {
            table.set_row_state(row, RowState::Stuck(number));
        }
        let abandoned = AbandonedJob {
            subsystem: Arc::clone(&read.subsystem),
            table: id,
            given_up: false,
        };
        self.abandoned.insert(number, abandoned);
    }

    /// The time of a table's sweep is over: it ends without the jobs that are still out.
    fn end_overdue_table(&mut self, id: TableId) -> Option<Batch> {
        for number in self.reads.get(&id)?.jobs() {
            match self.readers.cancel(number) {
                Cancelled::Queued(job) => {
                    self.jobs.remove(&number);
                    self.reads.get_mut(&id)?.give_up_job(number, Some(*job));
                }
                Cancelled::Reading(row) => self.abandon(number, row),
                // It is looked at again.
                Cancelled::Soon => {}
            }
        }
        self.finish_table(id)
    }

    /// Whether a subsystem is suspended: it has stuck files, and no further thread may be stalled.
    pub(super) fn update_suspended(&mut self, subsystem: &Arc<str>) -> bool {
        let mut given_up = self.abandoned.values().filter(|job| job.given_up);
        let has_stuck = given_up.any(|job| job.subsystem == *subsystem);
        let threads = self.readers.given_up_count();
        let suspended = has_stuck && threads >= self.readers.max_stuck();
        if self.subsystems.set_suspended(subsystem, suspended) {
            if suspended {
                let message = "subsystem suspended: threads wait for files that do not answer";
                let detail = format!("{subsystem}: {threads} threads");
                self.failure_log.warnings().warn_again(message, &detail);
            } else {
                tracing::info!(
                    component = &*self.context.id,
                    subsystem = &**subsystem,
                    "subsystem is swept again"
                );
            }
        }
        suspended
    }
}
