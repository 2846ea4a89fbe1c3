//! Files that give no value: warned about once, counted, and backed off.

use std::time::Duration;

use crate::counters::FILES_FAILED;
use crate::failure_log::FailureLog;
use crate::read::{ReadFailure, Reason};
use crate::tables::{RowState, TableState};

/// Records the rows that failed, and ends the back-off of those that no longer do.
pub(crate) fn record_failures(
    table: &mut TableState,
    failures: &[(u32, ReadFailure)],
    retried: &[u32],
    (number, tick): (u64, Duration),
    locked_down: bool,
    failure_log: &FailureLog,
) {
    for row in retried {
        if failures.binary_search_by_key(row, |(row, _)| *row).is_err() {
            table.clear_back_off(*row);
        }
    }
    for (row, failure) in failures {
        let row = *row;
        let path = || table.path(row);
        let reason = match *failure {
            // The next scan ends its series, without a warning.
            ReadFailure::Gone => continue,
            ReadFailure::NoDescriptor => {
                let reason = Reason::DESCRIPTORS;
                failure_log.record_once(FILES_FAILED, reason.0, reason.cause(), path());
                continue;
            }
            ReadFailure::Other(reason @ Reason::TIMEOUT) => {
                failure_log.record(FILES_FAILED, reason.0, reason.cause(), path);
                continue;
            }
            ReadFailure::NotPermitted if locked_down => Reason::LOCKDOWN,
            ReadFailure::NotPermitted => Reason::PERMISSION,
            ReadFailure::Other(reason) => reason,
        };
        let previous = match table.row_state(row) {
            Some(RowState::BackedOff { failures, .. }) => failures,
            _ => 0,
        };
        // Files of a device that is being removed give all kinds of I/O errors: the warning waits for the second failure.
        let first = u8::from(reason == Reason::IO);
        if previous == first {
            failure_log.record(FILES_FAILED, reason.0, reason.cause(), path);
        } else {
            failure_log.count(FILES_FAILED, reason.0, 1);
        }
        if table.is_live(row) {
            table.set_row_state(row, back_off(previous, reason, number, tick));
        }
    }
}

/// Exponential back-off: a file that fails is read again after 2, 4, 8 … sweeps, one hour at most. Lockdown does not change,
/// and each attempt writes a line to the kernel's log: such a file waits for the rescan.
fn back_off(previous: u8, reason: Reason, number: u64, tick: Duration) -> RowState {
    let failures = previous.saturating_add(1);
    let tick = u64::try_from(tick.as_millis()).unwrap_or(u64::MAX).max(1);
    let hour = (3_600_000 / tick).max(1);
    let sweeps = 1_u64
        .checked_shl(failures.into())
        .unwrap_or(u64::MAX)
        .min(hour);
    let not_before = if reason == Reason::LOCKDOWN {
        u64::MAX
    } else {
        number.saturating_add(sweeps)
    };
    RowState::BackedOff {
        failures,
        not_before,
    }
}
