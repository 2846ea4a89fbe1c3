//! Rows of a table that are not simply read, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a row is not simply read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It failed so often in a row; not read again before this sweep.
    Failing { fails: u8, not_before: u64 },
    /// It does not answer to this job: left alone until it does. By the job, since rows move when a table is remade.
    Stuck(u64),
    /// It has gone, which the next batch says.
    Ending,
    /// That was said.
    Dead,
}

/// The troubles of a table's rows.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    rows: BTreeMap<u32, Trouble>,
    same: Option<Same>,
}

/// What is skipped as long as nothing changes: whole trees may be locked down.
#[derive(Debug)]
struct Same {
    /// Of a table with so many rows.
    there: u32,
    /// In sweeps before this one.
    until: u64,
    skip: Arc<[u32]>,
}

/// What becomes of the rows in trouble in one sweep; each list is in order.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Not read.
    pub(crate) skip: Arc<[u32]>,
    /// Their end is said; they are dead from now on.
    pub(crate) ended: Vec<u32>,
    /// Failed before, and get another try.
    pub(crate) retried: Vec<u32>,
}

impl Troubles {
    pub(crate) fn get(&self, row: u32) -> Option<Trouble> {
        self.rows.get(&row).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Trouble)> {
        self.rows.iter().map(|(row, trouble)| (*row, *trouble))
    }

    pub(crate) fn set(&mut self, row: u32, trouble: Trouble) {
        self.same = None;
        self.rows.insert(row, trouble);
    }

    pub(crate) fn remove(&mut self, row: u32) {
        self.same = None;
        self.rows.remove(&row);
    }

    /// The file that did not answer to this job has.
    pub(crate) fn answers(&mut self, job: u64) {
        self.same = None;
        self.rows
            .retain(|_, trouble| *trouble != Trouble::Stuck(job));
    }

    /// All that failed get another try.
    pub(crate) fn try_all_again(&mut self) {
        self.same = None;
        for trouble in self.rows.values_mut() {
            if let Trouble::Failing { not_before, .. } = trouble {
                *not_before = 0;
            }
        }
    }

    /// Dead rows leave the table; those behind them move up.
    pub(crate) fn bury_dead(&mut self) {
        self.same = None;
        let mut gone = 0;
        for (row, trouble) in std::mem::take(&mut self.rows) {
            if trouble == Trouble::Dead {
                gone += 1;
            } else {
                self.rows.insert(row - gone, trouble);
            }
        }
    }

    /// What becomes of them in this sweep of a table with so many rows.
    pub(crate) fn turn(&mut self, there: u32, number: u64) -> Turn {
        let same = self.same.as_ref();
        if let Some(same) = same.filter(|it| it.there == there && number < it.until) {
            let skip = Arc::clone(&same.skip);
            return Turn {
                skip,
                ..Turn::default()
            };
        }
        let (mut ended, mut retried, mut skip) = (Vec::new(), Vec::new(), Vec::new());
        let mut until = u64::MAX;
        for (row, trouble) in self.rows.range_mut(..there) {
            match trouble {
                Trouble::Failing { not_before, .. } if *not_before <= number => {
                    retried.push(*row);
                    continue;
                }
                Trouble::Failing { not_before, .. } => until = until.min(*not_before),
                Trouble::Ending => {
                    *trouble = Trouble::Dead;
                    ended.push(*row);
                }
                _ => {}
            }
            skip.push(*row);
        }
        let skip: Arc<[u32]> = skip.into();
        // A try ends one way or the other, which changes what is known of its row.
        self.same = retried.is_empty().then(|| Same {
            there,
            until,
            skip: Arc::clone(&skip),
        });
        Turn {
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
        let mut troubles = Troubles::default();
        let failing = |not_before| Trouble::Failing {
            fails: 1,
            not_before,
        };
        troubles.set(3, failing(u64::MAX));
        troubles.set(5, failing(8));
        troubles.set(7, Trouble::Ending);
        let first = troubles.turn(10, 1);
        assert_eq!((&*first.skip, &*first.ended), (&[3, 5, 7][..], &[7][..]));
        let second = troubles.turn(10, 7);
        assert!(Arc::ptr_eq(&first.skip, &second.skip) && second.ended.is_empty());
        let due = troubles.turn(10, 8);
        assert_eq!((&*due.skip, &*due.retried), (&[3, 7][..], &[5][..]));
        troubles.remove(5);
        assert_eq!(&*troubles.turn(4, 9).skip, [3], "a table of four rows");
        troubles.set(0, Trouble::Dead);
        assert_eq!(&*troubles.turn(10, 9).skip, [0, 3, 7]);
        troubles.bury_dead();
        assert_eq!(&*troubles.turn(8, 9).skip, [2]);
        troubles.try_all_again();
        assert_eq!(troubles.turn(8, 9).retried, [2]);
    }
}
