//! The state of rows that are not simply read: backed off, stuck, ending, or tombstones.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a row is not simply read at each sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    /// It gave values, and fails since this sweep, so many times in sequence; still read at each sweep.
    Failing { since: u64, failures: u8 },
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
    /// Rows that are read apart from the others, with the job that last tried them, 0 for none: their files are slow, or were
    /// not reached behind one that does not answer.
    slow: BTreeMap<u32, u64>,
    cached_plan: Option<CachedPlan>,
}

/// What a sweep does, cached as long as nothing changes: whole trees may be locked down.
#[derive(Debug)]
struct CachedPlan {
    /// The table has this many rows.
    row_count: u32,
    /// Valid for sweeps before this one.
    valid_before: u64,
    actions: RowActions,
}

/// What a sweep does with the rows that have a state; each list is sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowActions {
    /// Rows that are not read with the others.
    pub(crate) skip: Arc<[u32]>,
    /// Those of them that are read apart, with the job that last tried each.
    pub(crate) apart: Vec<(u32, u64)>,
    /// Rows whose series end with this sweep; they are tombstones from now on.
    pub(crate) ended: Vec<u32>,
    /// Rows that failed before and are tried again.
    pub(crate) retried: Arc<[u32]>,
    /// How many rows are not read since they are backed off, and since they are stuck.
    pub(crate) backed_off: u64,
    pub(crate) stuck: u64,
}

impl RowStates {
    pub(crate) fn get(&self, row: u32) -> Option<RowState> {
        self.rows.get(&row).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, RowState)> {
        self.rows.iter().map(|(row, state)| (*row, *state))
    }

    pub(crate) fn set(&mut self, row: u32, state: RowState) {
        self.cached_plan = None;
        self.rows.insert(row, state);
    }

    pub(crate) fn remove(&mut self, row: u32) {
        self.cached_plan = None;
        self.rows.remove(&row);
    }

    /// The file that this job waited for has answered: it is slow, or had no time enough.
    pub(crate) fn clear_stuck(&mut self, job: u64, had_time: bool) {
        let is_stuck = |(_, state): &(&u32, &RowState)| **state == RowState::Stuck(job);
        let row = self.rows.iter().find(is_stuck).map(|(row, _)| *row);
        if let Some(row) = row {
            self.remove(row);
            if had_time {
                self.set_slow(row, job);
            } else {
                self.set_missed(row);
            }
        }
    }

    /// This row is read apart from now on; this job tried it last.
    pub(crate) fn set_slow(&mut self, row: u32, job: u64) {
        if self.slow.insert(row, job).is_none() {
            self.cached_plan = None;
        }
    }

    /// So is this one, which was not reached.
    pub(crate) fn set_missed(&mut self, row: u32) {
        if !self.slow.contains_key(&row) {
            self.set_slow(row, 0);
        }
    }

    /// This row is read with the others again.
    pub(crate) fn clear_slow(&mut self, row: u32) {
        if self.slow.remove(&row).is_some() {
            self.cached_plan = None;
        }
    }

    /// All rows that are backed off are tried again at the next sweep.
    pub(crate) fn retry_all(&mut self) {
        self.cached_plan = None;
        for state in self.rows.values_mut() {
            if let RowState::BackedOff { not_before, .. } = state {
                *not_before = 0;
            }
        }
    }

    /// Tombstones leave the table; the rows behind them move up.
    pub(crate) fn remove_tombstones(&mut self) {
        self.cached_plan = None;
        let tombstones: Vec<u32> = self
            .iter()
            .filter(|(_, state)| *state == RowState::Tombstone)
            .map(|(row, _)| row)
            .collect();
        let moved = |row: u32| {
            let before = tombstones.binary_search(&row).err()?;
            Some(row - u32::try_from(before).unwrap_or(u32::MAX))
        };
        let rows = std::mem::take(&mut self.rows).into_iter();
        self.rows = rows
            .filter_map(|(row, state)| Some((moved(row)?, state)))
            .collect();
        let slow = std::mem::take(&mut self.slow).into_iter();
        self.slow = slow
            .filter_map(|(row, tried)| Some((moved(row)?, tried)))
            .collect();
    }

    /// What sweep `number` does with them, in a table of `row_count` rows.
    pub(crate) fn plan_sweep(&mut self, row_count: u32, number: u64) -> RowActions {
        let is_valid = |it: &&CachedPlan| it.row_count == row_count && number < it.valid_before;
        if let Some(cached) = self.cached_plan.as_ref().filter(is_valid) {
            let apart = self.apart(&cached.actions.skip, number);
            return RowActions {
                apart,
                ..cached.actions.clone()
            };
        }
        let mut actions = RowActions::default();
        let (mut retried, mut skip) = (Vec::new(), Vec::new());
        let (mut valid_before, mut is_lasting) = (u64::MAX, true);
        for (row, state) in self.rows.range_mut(..row_count) {
            match state {
                RowState::Failing { .. } => {
                    retried.push(*row);
                    continue;
                }
                RowState::BackedOff { not_before, .. } if *not_before <= number => {
                    // A retry changes the state of its row, whether it succeeds or fails.
                    is_lasting = false;
                    retried.push(*row);
                    continue;
                }
                RowState::BackedOff { not_before, .. } => {
                    valid_before = valid_before.min(*not_before);
                    actions.backed_off += 1;
                }
                RowState::Stuck(_) => actions.stuck += 1,
                RowState::Ending => {
                    *state = RowState::Tombstone;
                    actions.ended.push(*row);
                }
                RowState::Tombstone => {}
            }
            skip.push(*row);
        }
        skip.extend(self.slow.range(..row_count).map(|(row, _)| *row));
        skip.sort_unstable();
        skip.dedup();
        actions.skip = skip.into();
        actions.retried = retried.into();
        self.cached_plan = is_lasting.then(|| CachedPlan {
            row_count,
            valid_before,
            actions: RowActions {
                ended: Vec::new(),
                ..actions.clone()
            },
        });
        actions.apart = self.apart(&actions.skip, number);
        actions
    }

    /// The slow rows among those to skip that are to be read in sweep `number`.
    fn apart(&self, skip: &[u32], number: u64) -> Vec<(u32, u64)> {
        let is_read = |row: &u32| match self.rows.get(row) {
            None | Some(RowState::Failing { .. }) => true,
            Some(RowState::BackedOff { not_before, .. }) => *not_before <= number,
            Some(_) => false,
        };
        let slow = self.slow.iter();
        let slow = slow.filter(|(row, _)| skip.binary_search(row).is_ok() && is_read(row));
        slow.map(|(row, tried)| (*row, *tried)).collect()
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
        assert_eq!((first.backed_off, first.stuck), (2, 0));
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
        assert_eq!(&*states.plan_sweep(8, 9).retried, [2]);
    }

    #[test]
    fn what_gave_values_is_tried_at_each_sweep_and_slow_rows_are_read_apart() {
        let mut states = RowStates::default();
        let failing = RowState::Failing {
            since: 3,
            failures: 1,
        };
        states.set(1, failing);
        states.set(2, RowState::Stuck(7));
        for row in [4, 9] {
            states.set_slow(row, 3);
        }
        states.set_missed(4);
        states.set_missed(5);
        for number in [4, 5] {
            let actions = states.plan_sweep(9, number);
            assert_eq!(
                (&*actions.skip, &*actions.retried),
                (&[2, 4, 5][..], &[1][..])
            );
            assert_eq!(actions.apart, [(4, 3), (5, 0)], "a table of nine rows");
            assert_eq!((actions.backed_off, actions.stuck), (0, 1));
        }
        states.set(
            4,
            RowState::BackedOff {
                failures: 1,
                not_before: 8,
            },
        );
        assert_eq!(states.plan_sweep(9, 7).apart, [(5, 0)]);
        let due = states.plan_sweep(9, 8);
        assert_eq!((&*due.skip, &*due.retried), (&[2, 4, 5][..], &[1, 4][..]));
        assert_eq!(due.apart, [(4, 3), (5, 0)]);
        states.clear_stuck(7, true);
        states.set(1, RowState::Tombstone);
        states.clear_slow(4);
        states.remove_tombstones();
        assert_eq!(states.plan_sweep(9, 7).apart, [(1, 7), (4, 0), (8, 3)]);
    }
}
