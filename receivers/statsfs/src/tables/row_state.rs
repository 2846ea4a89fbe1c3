//! The state of rows that are not simply read: backed off, stuck, ending, or tombstones.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a row is not read at each sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    /// It failed this many times in sequence; not read again before this sweep.
    BackedOff { failures: u8, not_before: u64 },
    /// This job waits for its file; not read again until it answers. Known by the job, since rows move when a table is rebuilt.
    Stuck(u64),
    /// Its file is gone; the next batch ends its series.
    Ending,
    /// Its series has ended; the row stays until the table is rebuilt.
    Tombstone,
}

/// The states of a table's rows; a row without one is read at each sweep.
#[derive(Debug, Default)]
pub(crate) struct RowStates {
    rows: BTreeMap<u32, RowState>,
    cached_skips: Option<CachedSkips>,
}

/// The rows to skip, cached as long as nothing changes: whole trees may be locked down.
#[derive(Debug)]
struct CachedSkips {
    /// The table has this many rows.
    row_count: u32,
    /// Valid for sweeps before this one.
    valid_before: u64,
    skip: Arc<[u32]>,
}

/// What a sweep does with the rows that have a state; each list is sorted.
#[derive(Debug, Default)]
pub(crate) struct RowActions {
    /// Rows that are not read.
    pub(crate) skip: Arc<[u32]>,
    /// Rows whose series end with this sweep; they are tombstones from now on.
    pub(crate) ended: Vec<u32>,
    /// Rows that failed before and are tried again.
    pub(crate) retried: Vec<u32>,
}

impl RowStates {
    pub(crate) fn get(&self, row: u32) -> Option<RowState> {
        self.rows.get(&row).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, RowState)> {
        self.rows.iter().map(|(row, state)| (*row, *state))
    }

    pub(crate) fn set(&mut self, row: u32, state: RowState) {
        self.cached_skips = None;
        self.rows.insert(row, state);
    }

    pub(crate) fn remove(&mut self, row: u32) {
        self.cached_skips = None;
        self.rows.remove(&row);
    }

    /// The file that this job waited for has answered.
    pub(crate) fn clear_stuck(&mut self, job: u64) {
        self.cached_skips = None;
        self.rows.retain(|_, state| *state != RowState::Stuck(job));
    }

    /// All rows that are backed off are tried again at the next sweep.
    pub(crate) fn retry_all(&mut self) {
        self.cached_skips = None;
        for state in self.rows.values_mut() {
            if let RowState::BackedOff { not_before, .. } = state {
                *not_before = 0;
            }
        }
    }

    /// Tombstones leave the table; the rows behind them move up.
    pub(crate) fn remove_tombstones(&mut self) {
        self.cached_skips = None;
        let mut gone = 0;
        for (row, state) in std::mem::take(&mut self.rows) {
            if state == RowState::Tombstone {
                gone += 1;
            } else {
                self.rows.insert(row - gone, state);
            }
        }
    }

    /// What sweep `number` does with them, in a table of `row_count` rows.
    pub(crate) fn plan_sweep(&mut self, row_count: u32, number: u64) -> RowActions {
        let cached_skips = self.cached_skips.as_ref();
        if let Some(cached_skips) =
            cached_skips.filter(|it| it.row_count == row_count && number < it.valid_before)
        {
            let skip = Arc::clone(&cached_skips.skip);
            return RowActions {
                skip,
                ..RowActions::default()
            };
        }
        let (mut ended, mut retried, mut skip) = (Vec::new(), Vec::new(), Vec::new());
        let mut valid_before = u64::MAX;
        for (row, state) in self.rows.range_mut(..row_count) {
            match state {
                RowState::BackedOff { not_before, .. } if *not_before <= number => {
                    retried.push(*row);
                    continue;
                }
                RowState::BackedOff { not_before, .. } => {
                    valid_before = valid_before.min(*not_before);
                }
                RowState::Ending => {
                    *state = RowState::Tombstone;
                    ended.push(*row);
                }
                _ => {}
            }
            skip.push(*row);
        }
        let skip: Arc<[u32]> = skip.into();
        // A retry changes the state of its row, whether it succeeds or fails.
        self.cached_skips = retried.is_empty().then(|| CachedSkips {
            row_count,
            valid_before,
            skip: Arc::clone(&skip),
        });
        RowActions {
            skip,
            ended,
            retried,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_stays_the_same_until_something_changes() {
        let mut states = RowStates::default();
        let backed_off = |not_before| RowState::BackedOff {
            failures: 1,
            not_before,
        };
        states.set(3, backed_off(u64::MAX));
        states.set(5, backed_off(8));
        states.set(7, RowState::Ending);
        let first = states.plan_sweep(10, 1);
        assert_eq!((&*first.skip, &*first.ended), (&[3, 5, 7][..], &[7][..]));
        let second = states.plan_sweep(10, 7);
        assert!(Arc::ptr_eq(&first.skip, &second.skip) && second.ended.is_empty());
        let due = states.plan_sweep(10, 8);
        assert_eq!((&*due.skip, &*due.retried), (&[3, 7][..], &[5][..]));
        states.remove(5);
        assert_eq!(&*states.plan_sweep(4, 9).skip, [3], "a table of four rows");
        states.set(0, RowState::Tombstone);
        assert_eq!(&*states.plan_sweep(10, 9).skip, [0, 3, 7]);
        states.remove_tombstones();
        assert_eq!(&*states.plan_sweep(8, 9).skip, [2]);
        states.retry_all();
        assert_eq!(states.plan_sweep(8, 9).retried, [2]);
    }
}
