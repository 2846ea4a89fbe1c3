//! What the API takes of one series: in order, no faster than an interval, with intervals that follow one another
//! ([TimeInterval](https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TimeInterval)). Pure: time is a parameter.

use std::time::Duration;

use crate::map::point_value::PointValue;

const MILLI: u64 = 1_000_000;
/// How old a point may be.
const MAX_AGE: u64 = 25 * 3_600 * 1_000 * MILLI;
/// How far ahead of the clock a point may be.
const MAX_AHEAD: u64 = 5 * 60 * 1_000 * MILLI;

/// How the points of a series follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeriesKind {
    /// Each stands for itself.
    Gauge,
    /// Each counts since a start.
    Cumulative,
    /// Each counts since the one before it, and goes out as a cumulative one with a start of its own.
    Delta,
}

/// A point, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Unix ns, 0 where it is not known.
    pub(crate) start: u64,
    /// Unix ns.
    pub(crate) time: u64,
    pub(crate) value: PointValue,
}

/// A point, as it may be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutgoingPoint {
    /// Unix ns; none for a gauge.
    pub(crate) start: Option<u64>,
    /// Unix ns.
    pub(crate) end: u64,
    pub(crate) value: PointValue,
}

/// What is to be done with a reading.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    Send(OutgoingPoint),
    /// An earlier export had the answer for it, and the queue did not learn that; whether the API accepted it.
    AlreadyAnswered {
        accepted: bool,
    },
    /// It is not sent: the reason, as it is counted.
    Dropped(&'static str),
}

/// What is known of a series.
#[derive(Debug, Default)]
pub(crate) struct SeriesState {
    /// The interval of the last point that the API took; its start is 0 for a gauge.
    last_accepted: Option<(u64, u64)>,
    /// The time of the last reading that was dealt with, and whether the API took it.
    last_answered: Option<(u64, bool)>,
    /// The end of a point that was sent, and nobody knows whether it was accepted.
    pub(crate) unacknowledged_end: u64,
    counter: Option<Box<CounterState>>,
}

/// What few series need.
#[derive(Debug, Default)]
struct CounterState {
    /// Where a counter whose start nobody knows was first seen: the start, and what is taken off.
    baseline: Option<(u64, Option<PointValue>)>,
    /// The last reading of such a counter.
    last_reading: Option<(u64, PointValue)>,
    /// Deltas that came too soon: since when, until when, and their sum.
    held_delta: Option<(u64, u64, PointValue)>,
}

/// The API's pace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From point to point, ns.
    interval: u64,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Pace {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Pace { interval }
    }

    /// What to do with a reading. Asked again for the same one, it answers the same.
    pub(crate) fn admit(
        self,
        state: &mut SeriesState,
        kind: SeriesKind,
        now: u64,
        reading: Reading,
    ) -> Admission {
        if let Some((time, accepted)) = state.last_answered
            && time == reading.time
        {
            return Admission::AlreadyAnswered { accepted };
        }
        if reading.time < now.saturating_sub(MAX_AGE) {
            return Admission::Dropped("too_old");
        }
        if reading.time > now.saturating_add(MAX_AHEAD) {
            return Admission::Dropped("in_the_future");
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
            // A start of its own: after a reset, or from the first.
            if let Some(counter) = &mut state.counter {
                (counter.baseline, counter.last_reading) = (None, None);
            }
            return self.admit_since(state, start, time, value);
        }
        let counter = state.counter.get_or_insert_default();
        let Some((mut baseline_start, mut baseline_value)) = counter.baseline.clone() else {
            counter.baseline = Some((time, Some(value.clone())));
            counter.last_reading = Some((time, value));
            return Admission::Dropped("baseline");
        };
        match &counter.last_reading {
            // The clock went back.
            Some((last, before)) if time < *last && (is_sent || value.is_less(before)) => {
                return Admission::Dropped("out_of_order");
            }
            // It had been ahead, and nothing of that time was accepted.
            Some(_) if time < baseline_start => {
                (baseline_start, baseline_value) = (time, Some(value.clone()));
                counter.baseline = Some((baseline_start, baseline_value.clone()));
            }
            Some((last, before)) if value.is_less(before) => {
                // It counts anew, since some time after it was last read.
                (baseline_start, baseline_value) = (*last, None);
                counter.baseline = Some((baseline_start, None));
            }
            _ => {}
        }
        counter.last_reading = Some((time, value.clone()));
        if time < baseline_start.saturating_add(MILLI) {
            return Admission::Dropped("baseline");
        }
        let above = match &baseline_value {
            Some(baseline) => value.minus(baseline),
            None => Some(value.clone()),
        };
        let Some(above) = above else {
            // Other bounds than before: a new baseline.
            counter.baseline = Some((time, Some(value)));
            return Admission::Dropped("baseline");
        };
        self.admit_since(state, baseline_start, time, above)
    }

    /// A cumulative point: the start that was sent before, or a new one after the end that was sent before.
    fn admit_since(
        self,
        state: &SeriesState,
        start: u64,
        time: u64,
        value: PointValue,
    ) -> Admission {
        let start = match state.last_accepted {
            // An older start than was said before: the series goes on.
            Some((sent, _)) if start <= sent => sent,
            Some((_, end)) => start.max(end + MILLI),
            None => start,
        };
        if let Some(reason) = state.why_not_after_last(time) {
            return Admission::Dropped(reason);
        }
        if time < start.saturating_add(MILLI) {
            return Admission::Dropped("coalesced");
        }
        self.admit_paced(state, Some(start), time, value)
    }

    fn admit_delta(self, state: &mut SeriesState, reading: Reading) -> Admission {
        let Reading { start, time, value } = reading;
        // It was counted: the clock went back, or it is asked for again with a later one.
        if let Some("out_of_order") = state.why_not_after_last(time) {
            return Admission::Dropped("out_of_order");
        }
        let held = state.counter.as_ref().and_then(|it| it.held_delta.clone());
        let (start, value) = match held {
            // Asked again: it is in there already.
            Some((since, until, sum)) if time <= until => (since, Some(sum)),
            Some((since, _, sum)) => (since, value.plus(&sum)),
            None => (start, Some(value)),
        };
        let Some(value) = value else {
            return Admission::Dropped("coalesced");
        };
        let earliest_start = state.last_accepted.map_or(0, |(_, end)| end + MILLI);
        let start = start.max(earliest_start);
        if start == 0 {
            return Admission::Dropped("baseline");
        }
        let admission = if time < start.saturating_add(MILLI) {
            Admission::Dropped("coalesced")
        } else {
            self.admit_paced(state, Some(start), time, value.clone())
        };
        if matches!(admission, Admission::Dropped(_)) {
            state.counter.get_or_insert_default().held_delta = Some((start, time, value));
        }
        admission
    }

    /// The point, if its time has come. One that was read a little early, since reading takes its time, ends when the
    /// API takes it.
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
                return Admission::Dropped("coalesced");
            }
            end = time.max(due);
        }
        Admission::Send(OutgoingPoint { start, end, value })
    }
}

impl SeriesState {
    /// The series is over. Should it come back, it begins anew, but not before the API takes it.
    pub(crate) fn end(&mut self) {
        self.counter = None;
    }

    /// Whether it knows what a counter without a start of its own counts from.
    pub(crate) fn has_counter_state(&self) -> bool {
        self.counter.is_some()
    }

    /// Why a reading is not after the last point, if it is not: the clock went back, or that point was read a little
    /// early.
    fn why_not_after_last(&self, time: u64) -> Option<&'static str> {
        let (_, end) = self.last_accepted.filter(|(_, end)| time <= *end)?;
        let read = self.last_answered.map_or(end, |(read, _)| read);
        Some(if time < read {
            "out_of_order"
        } else {
            "coalesced"
        })
    }

    /// The API has answered for the point that was read at `time`.
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
