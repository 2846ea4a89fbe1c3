//! The state of all series, and which series owns each.

use std::collections::HashMap;

use crate::map::series::MappedSeries;
use crate::send::deferred::{DeferredSeries, WaitingPoint};
use crate::send::pace::SeriesState;

const HOUR: u64 = 3_600 * 1_000_000_000;
/// How long a series without new points is kept, ns.
const RETENTION: u64 = HOUR;
/// How long a series with a baseline is kept, ns: as long as a point may be late.
const COUNTER_RETENTION: u64 = 25 * HOUR;

/// The states of all series, by id.
#[derive(Debug, Default)]
pub(crate) struct SeriesStates {
    states: HashMap<u128, SeriesEntry>,
    last_cleanup: u64,
    /// Those that the API refuses for the time being.
    pub(crate) deferred: DeferredSeries,
}

#[derive(Debug)]
struct SeriesEntry {
    owner: u64,
    /// When it was last looked up, unix ns.
    last_seen: u64,
    state: SeriesState,
}

impl SeriesStates {
    /// The state of a series; `None` where another series maps to the same id and owns it.
    pub(crate) fn get(&mut self, mapped: &MappedSeries, now: u64) -> Option<&mut SeriesState> {
        let entry = self.states.entry(mapped.id).or_insert_with(|| SeriesEntry {
            owner: mapped.owner,
            last_seen: now,
            state: SeriesState::default(),
        });
        if entry.owner != mapped.owner {
            return None;
        }
        entry.last_seen = now;
        Some(&mut entry.state)
    }

    /// Whether the API has answered for this point.
    pub(crate) fn is_answered(&mut self, waiting: &WaitingPoint, now: u64) -> bool {
        let row = waiting.series.table.rows[waiting.series.row].as_ref();
        let state = row.and_then(|(mapped, _)| self.get(mapped, now));
        state.is_none_or(|state| state.answer_to(waiting.reading_time).is_some())
    }

    /// Removes series that were not looked up for long. Does so once in a while. The clock may have been set back meanwhile.
    pub(crate) fn forget_unseen(&mut self, now: u64) {
        if now.abs_diff(self.last_cleanup) > RETENTION / 6 {
            self.last_cleanup = now;
            self.states.retain(|_, entry| {
                let limit = if entry.state.has_counter_state() {
                    COUNTER_RETENTION
                } else {
                    RETENTION
                };
                now.abs_diff(entry.last_seen) <= limit
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::point_value::PointValue;
    use crate::send::drop_reasons::BASELINE;
    use crate::send::pace::{Admission, Pace, Reading, SeriesKind};

    #[test]
    fn a_counter_that_is_read_every_two_hours_has_its_baseline_once() {
        let mapped = |id| MappedSeries {
            id,
            owner: 0,
            encoded_metric: bytes::Bytes::new(),
            kind: SeriesKind::Cumulative,
        };
        let mut series = SeriesStates::default();
        let pace = Pace::new(std::time::Duration::from_secs(10));
        let mut read = |mapped: &MappedSeries, now: u64| {
            series.forget_unseen(now);
            let state = series.get(mapped, now).unwrap();
            let reading = Reading {
                start: 0,
                time: now,
                value: PointValue::Int(1),
            };
            pace.admit(state, mapped.kind, now, reading)
        };
        assert_eq!(read(&mapped(1), 100 * HOUR), Admission::Dropped(BASELINE));
        assert!(matches!(read(&mapped(1), 102 * HOUR), Admission::Send(_)));
        assert_eq!(read(&mapped(2), 128 * HOUR), Admission::Dropped(BASELINE));
        assert_eq!(series.states.len(), 1, "after a day it is forgotten");
    }
}
