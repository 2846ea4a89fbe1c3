//! What `inspect` is told: the tables without a value, and the rows that gave none.

use std::sync::Arc;

use pipeline::{Batch, LeftOut, Sweep};

use super::Sweeps;
use super::failures::FailedSweep;
use crate::failure_log::Cause;
use crate::read::{ReadFailure, Reason};
use crate::tables::TableState;

impl Sweeps {
    /// The batches of all tables, for which nothing is read.
    pub(crate) fn unread(&mut self, number: u64) -> Vec<Batch> {
        let tick = self.plan.interval;
        let names: Vec<Arc<str>> = self.tables.subsystems().cloned().collect();
        let mut batches = Vec::new();
        for name in names {
            let due = self.tables.due(&name, number, tick);
            for (index, id) in due.iter().enumerate() {
                if let Some(table) = self.tables.get_mut(*id) {
                    table.rebuild();
                    let last = index + 1 == due.len();
                    batches.extend(table.unread(Sweep::new(number, tick, last)));
                }
            }
        }
        batches
    }
}

/// The rows of a table that were not read in time, or failed.
pub(super) fn left_out(
    table: &TableState,
    missed: &[u32],
    failures: &[(u32, ReadFailure)],
    sweep: FailedSweep,
) -> Vec<LeftOut> {
    let missed = missed.iter().map(|row| {
        let reason = Reason::Timeout;
        (*row, reason, Cause::from(reason.cause()))
    });
    let failed = failures.iter().filter_map(|(row, failure)| {
        let reason = sweep.reason(*failure)?;
        let cause = match failure {
            ReadFailure::Io(errno) => Cause::from((reason.cause(), *errno)),
            _ => reason.cause().into(),
        };
        Some((*row, reason, cause))
    });
    let left_out = missed.chain(failed).map(|(row, reason, cause)| {
        LeftOut::new(table.path(row), reason.name(), cause.to_string())
    });
    left_out.collect()
}
