//! Which points the API accepts of one series: in order, at most one per interval, with time intervals that do not overlap
//! ([TimeInterval](https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TimeInterval)). Pure: time is a parameter.

use std::time::Duration;

use pipeline::telemetry::DropReason;

use crate::map::point_value::PointValue;
use crate::send::drop_reasons::{BASELINE, COALESCED, IN_THE_FUTURE, OUT_OF_ORDER, TOO_OLD};

const MILLI: u64 = 1_000_000;
/// The maximum age of a point, ns.
const MAX_AGE: u64 = 25 * 3_600 * 1_000 * MILLI;
/// How far ahead of the clock a point may be, ns.
const MAX_AHEAD: u64 = 5 * 60 * 1_000 * MILLI;

/// How the points of a series relate to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeriesKind {
    /// Each point stands for itself.
    Gauge,
    /// Each point counts since a start.
    Cumulative,
    /// Each point counts since the previous one. It is sent as a cumulative point with a start of its own.
    Delta,
}

/// A point as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Unix ns; 0 if unknown.
    pub(crate) start: u64,
    /// Unix ns.
    pub(crate) time: u64,
    pub(crate) value: PointValue,
}

/// A point as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutgoingPoint {
    /// Unix ns; `None` for a gauge.
    pub(crate) start: Option<u64>,
    /// Unix ns.
    pub(crate) end: u64,
    pub(crate) value: PointValue,
}

/// What to do with a reading.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    Send(OutgoingPoint),
    /// An earlier attempt had the answer for it, and the queue did not learn that; whether the API accepted it.
    AlreadyAnswered {
        accepted: bool,
    },
    /// It is not sent. The reason is the one in the counters.
    Dropped(DropReason),
}

/// The state of a series.
#[derive(Debug, Default)]
pub(crate) struct SeriesState {
    /// The time interval of the last accepted point. Its start is 0 for a gauge.
    last_accepted: Option<(u64, u64)>,
    /// The time of the last reading with an answer, and whether the API accepted it.
    last_answered: Option<(u64, bool)>,
    /// The end of a point that was sent and is not acknowledged; 0 if there is none.
    pub(crate) unacknowledged_end: u64,
    counter: Option<Box<CounterState>>,
}

/// State that only some counters need.
#[derive(Debug, Default)]
struct CounterState {
    /// The baseline of a counter with an unknown start: the start, and the value to subtract.
    baseline: Option<(u64, Option<PointValue>)>,
    /// The last reading of such a counter.
    last_reading: Option<(u64, PointValue)>,
    /// The sum of deltas that came too soon: its start, its end, and the value.
    held_delta: Option<(u64, u64, PointValue)>,
}

/// The pace at which the API accepts points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The minimum interval between points of a series, ns.
    interval: u64,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Pace {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Pace { interval }
    }

    /// What to do with a reading. The same reading has the same result if it is admitted again.
    pub(crate) fn admit(
        self,
        state: &mut SeriesState,
        kind: SeriesKind,
        now: u64,
        reading: Reading,
    ) -> Admission {
        if let Some(accepted) = state.answer_to(reading.time) {
            return Admission::AlreadyAnswered { accepted };
        }
        if reading.time < now.saturating_sub(MAX_AGE) {
            return Admission::Dropped(TOO_OLD);
        }
        if reading.time > now.saturating_add(MAX_AHEAD) {
            return Admission::Dropped(IN_THE_FUTURE);
        }
        match kind {
            SeriesKind::Gauge => self.admit_paced(state, None, reading.time, reading.value),
            SeriesKind::Cumulative => self.admit_cumulative(state, reading),
            SeriesKind::Delta => self.admit_delta(state, reading),
        }
    }

    fn admit_cumulative(self, state: &mut SeriesState, reading: Reading) -> Admission {
        let Reading { start, time, value } = reading;
        let is_known = start > 0 && start.saturating_add(MILLI) <= time;
        let is_sent = state.last_accepted.is_some_and(|(_, end)| time <= end);
        let baseline = state.counter.as_ref().and_then(|it| it.baseline.as_ref());
        let is_from_baseline = baseline.is_some_and(|(base, _)| !is_known || start <= *base);
        if is_known && !is_from_baseline {
            // A known start: from the beginning, or after a reset.
            if let Some(counter) = &mut state.counter {
                (counter.baseline, counter.last_reading) = (None, None);
            }
            return self.admit_since(state, start, time, value);
        }
        let counter = state.counter.get_or_insert_default();
        let Some((mut baseline_start, mut baseline_value)) = counter.baseline.clone() else {
            counter.baseline = Some((time, Some(value.clone())));
            counter.last_reading = Some((time, value));
            return Admission::Dropped(BASELINE);
        };
        match &counter.last_reading {
            // The clock was set back.
            Some((last, before)) if time < *last && (is_sent || value.is_less(before)) => {
                return Admission::Dropped(OUT_OF_ORDER);
            }
            // The clock had been ahead, and the API accepted nothing from then.
            Some(_) if time < baseline_start => {
                (baseline_start, baseline_value) = (time, Some(value.clone()));
                counter.baseline = Some((baseline_start, baseline_value.clone()));
            }
            Some((last, before)) if value.is_less(before) => {
                // A reset, at some time after the last reading.
                (baseline_start, baseline_value) = (*last, None);
                counter.baseline = Some((baseline_start, None));
            }
            _ => {}
        }
        counter.last_reading = Some((time, value.clone()));
        if time < baseline_start.saturating_add(MILLI) {
            return Admission::Dropped(BASELINE);
        }
        let above = match &baseline_value {
            Some(baseline) => value.minus(baseline),
            None => Some(value.clone()),
        };
        let Some(above) = above else {
            // Other bounds than before: a new baseline.
            counter.baseline = Some((time, Some(value)));
            return Admission::Dropped(BASELINE);
        };
        self.admit_since(state, baseline_start, time, above)
    }

    /// A cumulative point. It keeps the start that was sent before, or has a new start after the end that was sent before.
    fn admit_since(
        self,
        state: &SeriesState,
        start: u64,
        time: u64,
        value: PointValue,
    ) -> Admission {
        let start = match state.last_accepted {
            // The start is older than the one sent before: the series continues.
            Some((sent, _)) if start <= sent => sent,
            Some((_, end)) => start.max(end + MILLI),
            None => start,
        };
        if let Some(reason) = state.why_not_after_last(time) {
            return Admission::Dropped(reason);
        }
        if time < start.saturating_add(MILLI) {
            return Admission::Dropped(COALESCED);
        }
        self.admit_paced(state, Some(start), time, value)
    }

    fn admit_delta(self, state: &mut SeriesState, reading: Reading) -> Admission {
        let Reading { start, time, value } = reading;
        // It is in an earlier sum: the clock was set back, or it is retried together with a later reading.
        if let Some(OUT_OF_ORDER) = state.why_not_after_last(time) {
            return Admission::Dropped(OUT_OF_ORDER);
        }
        let held = state.counter.as_ref().and_then(|it| it.held_delta.clone());
        let (start, value) = match held {
            // Retried: it is in the sum already.
            Some((since, until, sum)) if time <= until => (since, Some(sum)),
            Some((since, _, sum)) => (since, value.plus(&sum)),
            None => (start, Some(value)),
        };
        let Some(value) = value else {
            return Admission::Dropped(COALESCED);
        };
        let earliest_start = state.last_accepted.map_or(0, |(_, end)| end + MILLI);
        let start = start.max(earliest_start);
        if start == 0 {
            return Admission::Dropped(BASELINE);
        }
        let admission = if time < start.saturating_add(MILLI) {
            Admission::Dropped(COALESCED)
        } else {
            self.admit_paced(state, Some(start), time, value.clone())
        };
        if matches!(admission, Admission::Dropped(_)) {
            state.counter.get_or_insert_default().held_delta = Some((start, time, value));
        }
        admission
    }

    /// The point, if the interval has passed. Reading takes a variable time: a point that is a little early ends when the API
    /// accepts it.
    fn admit_paced(
        self,
        state: &SeriesState,
        start: Option<u64>,
        time: u64,
        value: PointValue,
    ) -> Admission {
        let mut end = time;
        if let Some((_, last)) = state.last_accepted {
            let due = last.saturating_add(self.interval);
            if let Some(reason) = state.why_not_after_last(time) {
                return Admission::Dropped(reason);
            }
            if time < due - self.interval / 10 {
                return Admission::Dropped(COALESCED);
            }
            end = time.max(due);
        }
        Admission::Send(OutgoingPoint { start, end, value })
    }
}

impl SeriesState {
    /// The series has ended. If it returns, it starts again with a baseline, and keeps the interval to the last point.
    pub(crate) fn end(&mut self) {
        self.counter = None;
    }

    /// Whether the series has a baseline or a held delta.
    pub(crate) fn has_counter_state(&self) -> bool {
        self.counter.is_some()
    }

    /// Why a reading is not after the last point, if so: the clock was set back, or the last point was read a little
    /// early.
    fn why_not_after_last(&self, time: u64) -> Option<DropReason> {
        let (_, end) = self.last_accepted.filter(|(_, end)| time <= *end)?;
        let read = self.last_answered.map_or(end, |(read, _)| read);
        Some(if time < read { OUT_OF_ORDER } else { COALESCED })
    }

    /// Whether the API has accepted a point of the series since this program started.
    pub(crate) fn has_accepted(&self) -> bool {
        self.last_accepted.is_some()
    }

    /// The API's answer for the last point, if it was read at `time`: whether it accepted it.
    pub(crate) fn answer_to(&self, time: u64) -> Option<bool> {
        let (_, accepted) = self.last_answered.filter(|(read, _)| *read == time)?;
        Some(accepted)
    }

    /// The point that was read at `time` waits: later deltas are added to it.
    pub(crate) fn defer(&mut self, kind: SeriesKind, time: u64, point: &OutgoingPoint) {
        if let (SeriesKind::Delta, Some(start)) = (kind, point.start) {
            let held = (start, time, point.value.clone());
            self.counter.get_or_insert_default().held_delta = Some(held);
        }
    }

    /// Records the API's answer for the point that was read at `time`.
    pub(crate) fn record_answer(&mut self, time: u64, point: &OutgoingPoint, accepted: bool) {
        (self.unacknowledged_end, self.last_answered) = (0, Some((time, accepted)));
        if accepted {
            self.last_accepted = Some((point.start.unwrap_or_default(), point.end));
        }
        if let Some(counter) = &mut self.counter {
            counter.held_delta = None;
        }
    }
}

#[cfg(test)]
mod tests;
