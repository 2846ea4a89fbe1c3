//! Files that give no value: warned about once, counted, and backed off.

use std::time::Duration;

use pipeline::Value;

use crate::counters::{FILES_FAILED, FILES_SKIPPED};
use crate::failure_log::{Cause, FailureLog};
use crate::read::{ReadFailure, Reason};
use crate::tables::{RowActions, RowState, TableState};

/// A file that gave values is tried at each sweep for this long.
const PATIENCE: Duration = Duration::from_hours(1);

/// A file is tried at least this often.
const MAX_BACK_OFF: Duration = Duration::from_hours(1);

/// The sweep whose failures are recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedSweep {
    pub(super) number: u64,
    pub(super) tick: Duration,
    /// Whether it is the only one.
    pub(super) once: bool,
    /// Whether EPERM means lockdown here.
    pub(super) locked_down: bool,
}

impl FailedSweep {
    /// Records the rows that failed or were not read, and ends the back-off of those that gave a value again.
    pub(super) fn record(
        self,
        table: &mut TableState,
        failures: &[(u32, ReadFailure)],
        values: &[Value],
        actions: &RowActions,
        log: &FailureLog,
    ) {
        for (reason, count) in [
            ("backed_off", actions.backed_off),
            ("given_up", actions.stuck),
        ] {
            if count > 0 {
                log.count(FILES_SKIPPED, reason, count);
            }
        }
        for row in &*actions.retried {
            if values[*row as usize] != Value::Absent {
                table.clear_back_off(*row);
            }
        }
        for (row, failure) in failures {
            self.record_failure(table, *row, *failure, log);
        }
    }

    /// Why a row has no value; none where its file is gone: the next scan ends its series, without a warning.
    pub(super) fn reason(self, failure: ReadFailure) -> Option<Reason> {
        let reason = match failure {
            ReadFailure::Gone => return None,
            ReadFailure::NoDescriptor => Reason::Descriptors,
            ReadFailure::NotPermitted if self.locked_down => Reason::Lockdown,
            ReadFailure::NotPermitted => Reason::Permission,
            ReadFailure::Io(_) => Reason::Io,
            ReadFailure::Other(reason) => reason,
        };
        Some(reason)
    }

    fn record_failure(
        self,
        table: &mut TableState,
        row: u32,
        failure: ReadFailure,
        log: &FailureLog,
    ) {
        let path = || table.path(row);
        let Some(reason) = self.reason(failure) else {
            return;
        };
        if reason == Reason::Descriptors {
            log.record_once(FILES_FAILED, reason.name(), reason.cause(), path());
            return;
        }
        let state = table.row_state(row);
        let previous = match state {
            Some(RowState::BackedOff { failures, .. } | RowState::Failing { failures, .. }) => {
                failures
            }
            _ => 0,
        };
        // Files of a device that is being removed give all kinds of I/O errors: the warning waits for the second failure.
        let first = u8::from(reason == Reason::Io && !self.once);
        if previous == first {
            let cause = match failure {
                ReadFailure::Io(errno) => Cause::from((reason.cause(), errno)),
                _ => reason.cause().into(),
            };
            log.record(FILES_FAILED, reason.name(), cause, path);
        } else {
            log.count(FILES_FAILED, reason.name(), 1);
        }
        if table.is_live(row) {
            let next = self.next_state(state, table.was_tried(row), reason);
            if state != Some(next) {
                table.set_row_state(row, next);
            }
        }
    }

    /// The state after one more failure. What gave values may do so again at any time: a link that is down, a device that is
    /// busy or asleep. What never did is backed off.
    fn next_state(self, state: Option<RowState>, was_tried: bool, reason: Reason) -> RowState {
        match state {
            _ if reason == Reason::Lockdown => self.back_off(0, reason),
            None if was_tried => RowState::Failing {
                since: self.number,
                failures: 1,
            },
            Some(RowState::Failing { since, .. })
                if self.number.saturating_sub(since) < self.sweeps(PATIENCE) =>
            {
                RowState::Failing { since, failures: 2 }
            }
            Some(RowState::BackedOff { failures, .. }) => self.back_off(failures, reason),
            _ => self.back_off(0, reason),
        }
    }

    /// Exponential back-off: a file that fails is read again after 2, 4, 8 … sweeps, one hour at most. Lockdown does not
    /// change, and each attempt writes a line to the kernel's log: such a file waits for the rescan.
    fn back_off(self, previous: u8, reason: Reason) -> RowState {
        let failures = previous.saturating_add(1);
        let sweeps = 1_u64.checked_shl(failures.into()).unwrap_or(u64::MAX);
        let sweeps = sweeps.min(self.sweeps(MAX_BACK_OFF));
        let not_before = if reason == Reason::Lockdown {
            u64::MAX
        } else {
            self.number.saturating_add(sweeps)
        };
        RowState::BackedOff {
            failures,
            not_before,
        }
    }

    /// How many sweeps there are in this time, at least one.
    fn sweeps(self, time: Duration) -> u64 {
        let sweeps = time.as_millis() / self.tick.as_millis().max(1);
        u64::try_from(sweeps).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(number: u64) -> FailedSweep {
        FailedSweep {
            number,
            tick: Duration::from_secs(10),
            once: false,
            locked_down: false,
        }
    }

    #[test]
    fn what_gave_values_is_tried_at_each_sweep_for_an_hour_and_then_ever_more_rarely() {
        let mut state = None;
        for number in 5..=364 {
            let next = sweep(number).next_state(state, true, Reason::Io);
            let failures = if number == 5 { 1 } else { 2 };
            assert_eq!(next, RowState::Failing { since: 5, failures });
            state = Some(next);
        }
        for (number, failures, not_before) in [(365, 1, 367), (367, 2, 371), (371, 3, 379)] {
            state = Some(sweep(number).next_state(state, true, Reason::Io));
            let backed_off = RowState::BackedOff {
                failures,
                not_before,
            };
            assert_eq!(state, Some(backed_off));
        }
    }

    #[test]
    fn what_never_gave_a_value_is_tried_ever_more_rarely_but_once_an_hour() {
        let (mut state, mut number, mut gaps) = (None, 0, Vec::new());
        for _ in 0..10 {
            state = Some(sweep(number).next_state(state, false, Reason::Word));
            let Some(RowState::BackedOff { not_before, .. }) = state else {
                panic!("{state:?}");
            };
            gaps.push(not_before - number);
            number = not_before;
        }
        assert_eq!(gaps, [2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
    }

    #[test]
    fn what_is_locked_down_waits_for_the_rescan_also_if_it_gave_values() {
        let state = sweep(7).next_state(None, true, Reason::Lockdown);
        let waits = RowState::BackedOff {
            failures: 1,
            not_before: u64::MAX,
        };
        assert_eq!(state, waits);
    }
}
