//! What is known of all series, and whose they are.

use std::collections::HashMap;

use crate::mapping::Row;
use crate::pace::State;

/// How long a series is remembered that shows nothing, ns: an hour.
const REMEMBERED: u64 = 3_600 * 1_000_000_000;

/// The state of all series.
#[derive(Debug, Default)]
pub(crate) struct AllSeries {
    all: HashMap<u128, Entry>,
    looked: u64,
}

#[derive(Debug)]
struct Entry {
    owner: u64,
    /// When it was last asked for, unix ns.
    seen: u64,
    state: State,
}

impl AllSeries {
    /// What is known of a series; `None` where another one, that became the same, has it.
    pub(crate) fn get(&mut self, row: &Row, now: u64) -> Option<&mut State> {
        let entry = self.all.entry(row.id).or_insert_with(|| Entry {
            owner: row.owner,
            seen: now,
            state: State::default(),
        });
        if entry.owner != row.owner {
            return None;
        }
        entry.seen = now;
        Some(&mut entry.state)
    }

    /// Forgets, once in a while, what has not been seen for long. The clock may have been set back meanwhile.
    pub(crate) fn tidy(&mut self, now: u64) {
        if now.abs_diff(self.looked) > REMEMBERED / 6 {
            self.looked = now;
            self.all
                .retain(|_, entry| now.abs_diff(entry.seen) < REMEMBERED);
        }
    }
}
