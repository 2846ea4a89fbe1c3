//! What is known of all series, and whose they are.

use std::collections::HashMap;

use crate::map::mapping::Row;
use crate::send::pace::State;

const HOUR: u64 = 3_600 * 1_000_000_000;
/// How long a series is remembered that shows nothing, ns.
const REMEMBERED: u64 = HOUR;
/// How long one is that would have to begin anew with a baseline: as long as a point may be late.
const COUNTED: u64 = 25 * HOUR;

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
            self.all.retain(|_, entry| {
                let limit = if entry.state.is_counting() {
                    COUNTED
                } else {
                    REMEMBERED
                };
                now.abs_diff(entry.seen) <= limit
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::point_value::PointValue;
    use crate::send::pace::{Admit, Pace, Reading, Shape};

    #[test]
    fn a_counter_that_is_read_every_two_hours_has_its_baseline_once() {
        let row = |id| Row {
            id,
            owner: 0,
            encoded: bytes::Bytes::new(),
            shape: Shape::Cumulative,
        };
        let mut series = AllSeries::default();
        let pace = Pace::new(std::time::Duration::from_secs(10));
        let mut read = |row: &Row, now: u64| {
            series.tidy(now);
            let state = series.get(row, now).unwrap();
            let reading = Reading {
                start: 0,
                time: now,
                value: PointValue::Int(1),
            };
            pace.admit(state, row.shape, now, reading)
        };
        assert_eq!(read(&row(1), 100 * HOUR), Admit::Leave("baseline"));
        assert!(matches!(read(&row(1), 102 * HOUR), Admit::Send(_)));
        assert_eq!(read(&row(2), 128 * HOUR), Admit::Leave("baseline"));
        assert_eq!(series.all.len(), 1, "after a day it is forgotten");
    }
}
