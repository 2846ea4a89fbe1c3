//! What the API takes of one series: in order, no faster than an interval, with intervals that follow one another
//! ([TimeInterval](https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TimeInterval)). Pure: time is a parameter.

use std::time::Duration;

use crate::map::point_value::PointValue;

const MILLI: u64 = 1_000_000;
/// How old a point may be.
const OLDEST: u64 = 25 * 3_600 * 1_000 * MILLI;
/// How far ahead of the clock a point may be.
const NEWEST: u64 = 5 * 60 * 1_000 * MILLI;

/// How the points of a series follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
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
pub(crate) struct Ready {
    /// Unix ns; none for a gauge.
    pub(crate) start: Option<u64>,
    /// Unix ns.
    pub(crate) end: u64,
    pub(crate) value: PointValue,
}

/// What is to be done with a reading.
#[derive(Debug, PartialEq)]
pub(crate) enum Admit {
    Send(Ready),
    /// It was dealt with by an export whose outcome the queue did not learn; whether the API took it.
    Done(bool),
    /// It does not go out: the reason, as it is counted.
    Leave(&'static str),
}

/// What is known of a series.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The interval of the last point that the API took; its start is 0 for a gauge.
    sent: Option<(u64, u64)>,
    /// The time of the last reading that was dealt with, and whether the API took it.
    done: Option<(u64, bool)>,
    /// The end of a point that was sent, and nobody knows whether it was taken.
    pub(crate) unsure: u64,
    extra: Option<Box<Extra>>,
}

/// What few series need.
#[derive(Debug, Default)]
struct Extra {
    /// Where a counter whose start nobody knows was first seen: the start, and what is taken off.
    base: Option<(u64, Option<PointValue>)>,
    /// The last reading of such a counter.
    last: Option<(u64, PointValue)>,
    /// Deltas that came too soon: since when, until when, and their sum.
    held: Option<(u64, u64, PointValue)>,
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
        state: &mut State,
        shape: Shape,
        now: u64,
        reading: Reading,
    ) -> Admit {
        if let Some((time, taken)) = state.done
            && time == reading.time
        {
            return Admit::Done(taken);
        }
        if reading.time < now.saturating_sub(OLDEST) {
            return Admit::Leave("too_old");
        }
        if reading.time > now.saturating_add(NEWEST) {
            return Admit::Leave("in_the_future");
        }
        match shape {
            Shape::Gauge => self.paced(state, None, reading.time, reading.value),
            Shape::Cumulative => self.cumulative(state, reading),
            Shape::Delta => self.delta(state, reading),
        }
    }

    fn cumulative(self, state: &mut State, reading: Reading) -> Admit {
        let Reading { start, time, value } = reading;
        let is_known = start > 0 && start.saturating_add(MILLI) <= time;
        let is_sent = state.sent.is_some_and(|(_, end)| time <= end);
        let base = state.extra.as_ref().and_then(|it| it.base.as_ref());
        let based = base.is_some_and(|(base, _)| !is_known || start <= *base);
        if is_known && !based {
            // A start of its own: after a reset, or from the first.
            if let Some(extra) = &mut state.extra {
                (extra.base, extra.last) = (None, None);
            }
            return self.since(state, start, time, value);
        }
        let extra = state.extra.get_or_insert_default();
        let Some((mut since, mut off)) = extra.base.clone() else {
            extra.base = Some((time, Some(value.clone())));
            extra.last = Some((time, value));
            return Admit::Leave("baseline");
        };
        match &extra.last {
            // The clock went back.
            Some((last, before)) if time < *last && (is_sent || value.is_less(before)) => {
                return Admit::Leave("out_of_order");
            }
            // It had been ahead, and nothing of that time was taken.
            Some(_) if time < since => {
                (since, off) = (time, Some(value.clone()));
                extra.base = Some((since, off.clone()));
            }
            Some((last, before)) if value.is_less(before) => {
                // It counts anew, since some time after it was last read.
                (since, off) = (*last, None);
                extra.base = Some((since, None));
            }
            _ => {}
        }
        extra.last = Some((time, value.clone()));
        if time < since.saturating_add(MILLI) {
            return Admit::Leave("baseline");
        }
        let above = match &off {
            Some(off) => value.minus(off),
            None => Some(value.clone()),
        };
        let Some(above) = above else {
            // Other bounds than before: a new baseline.
            extra.base = Some((time, Some(value)));
            return Admit::Leave("baseline");
        };
        self.since(state, since, time, above)
    }

    /// A cumulative point: the start that was sent before, or a new one after the end that was sent before.
    fn since(self, state: &State, start: u64, time: u64, value: PointValue) -> Admit {
        let start = match state.sent {
            // An older start than was said before: the series goes on.
            Some((sent, _)) if start <= sent => sent,
            Some((_, end)) => start.max(end + MILLI),
            None => start,
        };
        if let Some(reason) = state.is_over(time) {
            return Admit::Leave(reason);
        }
        if time < start.saturating_add(MILLI) {
            return Admit::Leave("coalesced");
        }
        self.paced(state, Some(start), time, value)
    }

    fn delta(self, state: &mut State, reading: Reading) -> Admit {
        let Reading { start, time, value } = reading;
        // It was counted: the clock went back, or it is asked for again with a later one.
        if let Some("out_of_order") = state.is_over(time) {
            return Admit::Leave("out_of_order");
        }
        let held = state.extra.as_ref().and_then(|it| it.held.clone());
        let (start, value) = match held {
            // Asked again: it is in there already.
            Some((since, until, sum)) if time <= until => (since, Some(sum)),
            Some((since, _, sum)) => (since, value.plus(&sum)),
            None => (start, Some(value)),
        };
        let Some(value) = value else {
            return Admit::Leave("coalesced");
        };
        let sent = state.sent.map_or(0, |(_, end)| end + MILLI);
        let start = start.max(sent);
        if start == 0 {
            return Admit::Leave("baseline");
        }
        let answer = if time < start.saturating_add(MILLI) {
            Admit::Leave("coalesced")
        } else {
            self.paced(state, Some(start), time, value.clone())
        };
        if matches!(answer, Admit::Leave(_)) {
            state.extra.get_or_insert_default().held = Some((start, time, value));
        }
        answer
    }

    /// The point, if its time has come. One that was read a little early, since reading takes its time, ends when the
    /// API takes it.
    fn paced(self, state: &State, start: Option<u64>, time: u64, value: PointValue) -> Admit {
        let mut end = time;
        if let Some((_, last)) = state.sent {
            let due = last.saturating_add(self.interval);
            if let Some(reason) = state.is_over(time) {
                return Admit::Leave(reason);
            }
            if time < due - self.interval / 10 {
                return Admit::Leave("coalesced");
            }
            end = time.max(due);
        }
        Admit::Send(Ready { start, end, value })
    }
}

impl State {
    /// The series is over. Should it come back, it begins anew, but not before the API takes it.
    pub(crate) fn ended(&mut self) {
        self.extra = None;
    }

    /// Whether it knows what a counter without a start of its own counts from.
    pub(crate) fn is_counting(&self) -> bool {
        self.extra.is_some()
    }

    /// Why a reading is not after the last point, if it is not: the clock went back, or that point was read a little
    /// early.
    fn is_over(&self, time: u64) -> Option<&'static str> {
        let (_, end) = self.sent.filter(|(_, end)| time <= *end)?;
        let read = self.done.map_or(end, |(read, _)| read);
        Some(if time < read {
            "out_of_order"
        } else {
            "coalesced"
        })
    }

    /// The API has answered for the point that was read at `time`.
    pub(crate) fn answered(&mut self, time: u64, ready: &Ready, taken: bool) {
        (self.unsure, self.done) = (0, Some((time, taken)));
        if taken {
            self.sent = Some((ready.start.unwrap_or_default(), ready.end));
        }
        if let Some(extra) = &mut self.extra {
            extra.held = None;
        }
    }
}

#[cfg(test)]
mod tests;
