//! Stuck files, which do not answer: they are given up, and a subsystem that has too many of them is suspended.

use std::sync::Arc;
use std::time::Duration;

use pipeline::{Batch, Head, Sweep, Table, Times, now_unix_nano};

use super::{Sweeps, TableRead};
use crate::counters::FILES_FAILED;
use crate::read::Reason;
use crate::tables::RowState;

impl Sweeps {
    /// Looks for files that do not answer. One that has not within `timeout` is given up, warned about, and not read again
    /// until it answers. Returns the last batches of the sweeps that end with it.
    pub(crate) fn give_up_stuck(&mut self) -> std::io::Result<Vec<Batch>> {
        let mut sweep_ends = Vec::new();
        for (number, row) in self.readers.find_stuck()? {
            let Some(TableRead {
                subsystem,
                table: id,
                pending,
            }) = self.jobs.remove(&number)
            else {
                continue;
            };
            if let Some(table) = self.tables.get_mut(id) {
                table.abandon_read(&pending.ended);
                if table.is_live(row) {
                    table.set_row_state(row, RowState::Stuck(number));
                }
                let (reason, path) = (Reason::STUCK, || table.path(row));
                self.failure_log
                    .record(FILES_FAILED, reason.0, reason.cause(), path);
                let others = pending.table.len().saturating_sub(1) as u64;
                self.failure_log
                    .count(FILES_FAILED, Reason::TIMEOUT.0, others);
            }
            self.stuck.insert(number, (Arc::clone(&subsystem), id));
            let Some(sweep) = self.finish_table(&subsystem, Duration::ZERO) else {
                continue;
            };
            if sweep.last {
                self.finish_sweep(&subsystem);
                sweep_ends.push(sweep_end_batch(pending.table.head(), sweep));
            }
            self.failure_log.flush();
            if self.readers.is_halted() {
                let message = "nothing is read below this root any more: all threads that `max_stuck` allows wait for files that do not answer";
                self.failure_log.warnings().warn_again(message, "");
            }
        }
        Ok(sweep_ends)
    }

    /// Whether a subsystem is suspended: it has stuck files, and no further thread may be stalled.
    pub(super) fn update_suspended(&mut self, subsystem: &Arc<str>) -> bool {
        let has_stuck = self.stuck.values().any(|(name, ..)| name == subsystem);
        let suspended = has_stuck && self.readers.stalled_count() >= self.readers.max_stuck();
        if self.subsystems.set_suspended(subsystem, suspended) {
            if suspended {
                let message = "subsystem suspended: threads wait for files that do not answer";
                let threads = self.readers.stalled_count();
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

/// An empty batch that ends a sweep whose last table could not be read.
fn sweep_end_batch(head: &Arc<Head>, sweep: Sweep) -> Batch {
    let table = Table::new(Arc::clone(head), Vec::new());
    Batch::new(
        table,
        Arc::default(),
        Times::One(now_unix_nano()),
        Vec::new(),
        sweep,
    )
}
