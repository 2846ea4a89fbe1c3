//! Since when a value counts: starts, resets and scale, row by row.

use pipeline::config::AbsentValues;
use pipeline::{Kind, Value};

use crate::wraps::Wrap;

/// What is remembered of a row: most take no more than a count.
#[derive(Clone, Debug)]
pub(crate) enum RowMemory {
    /// A gauge, as it is.
    Plain,
    /// What counts since a start.
    Counts(Count),
    /// Either, where values do not stay as they are.
    Rewritten(Box<(ValueRewrite, Option<Count>)>),
}

/// What becomes of a row's values.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueRewrite {
    /// Numbers that stand for no value.
    pub(crate) absent: AbsentValues,
    /// How it wraps, if it does.
    pub(crate) wrap: Option<Wrap>,
    /// What values are multiplied by.
    pub(crate) scale: Option<f64>,
}

impl RowMemory {
    /// `start` is that of what counts, unix ns; 0 if it is not known.
    pub(crate) fn new(kind: &Kind, start: u64, rewrite: ValueRewrite) -> RowMemory {
        let count = kind.is_cumulative().then(|| Count::new(kind, start));
        let stays = rewrite.absent.is_empty() && rewrite.wrap.is_none() && rewrite.scale.is_none();
        match count {
            count if !stays => RowMemory::Rewritten(Box::new((rewrite, count))),
            Some(count) => RowMemory::Counts(count),
            None => RowMemory::Plain,
        }
    }

    /// What becomes of its values, where they do not stay as they are.
    pub(crate) fn rewrite(&mut self) -> Option<&mut ValueRewrite> {
        match self {
            RowMemory::Rewritten(it) => Some(&mut it.0),
            _ => None,
        }
    }

    /// Since when it counts, if it does.
    pub(crate) fn count(&mut self) -> Option<&mut Count> {
        match self {
            RowMemory::Plain => None,
            RowMemory::Counts(count) => Some(count),
            RowMemory::Rewritten(it) => it.1.as_mut(),
        }
    }
}

impl ValueRewrite {
    /// What goes on in a value's stead; `range` is what the file shows at which it wraps.
    ///
    /// # Errors
    /// The factor, where the product is beyond all numbers.
    pub(crate) fn apply(&mut self, value: &Value, range: Option<&Value>) -> Result<Value, f64> {
        if self.absent.contains(value) {
            return Ok(Value::Absent);
        }
        let value = match &mut self.wrap {
            Some(wrap) => wrap.unwrapped(value, range),
            None => value.clone(),
        };
        match self.scale {
            Some(scale) => scaled(&value, scale).ok_or(scale),
            None => Ok(value),
        }
    }
}

/// Since when a row counts, and what it last showed.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    /// Since when it counts, unix ns; 0 where that is not known before its first value.
    start: u64,
    last: Last,
    /// When that was, unix ns.
    last_time: u64,
}

/// What a row last showed, as far as it takes to see that it fell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Last {
    #[default]
    Nothing,
    /// An amount, which may fall.
    Amount,
    Int(i64),
    Double(f64),
    /// A histogram's count.
    Count(u64),
}

impl Count {
    fn new(kind: &Kind, start: u64) -> Count {
        let is_amount = *kind == Kind::UP_DOWN_COUNTER;
        Count {
            start,
            last: if is_amount {
                Last::Amount
            } else {
                Last::Nothing
            },
            last_time: 0,
        }
    }

    /// The start of what counts and shows `value` at `time`; `start` is what the receiver says, 0 for nothing. A value
    /// that falls is a reset: it counts anew since it was last read. Where nobody knows the start, it is the time of
    /// the first value, which adds nothing to a rate
    /// ([OpenTelemetry: resets and gaps](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps)).
    /// A start is never after its point: where the clock was set back before it, it is that of the first point since, and
    /// stays so.
    pub(crate) fn start(&mut self, value: &Value, start: u64, time: u64) -> u64 {
        let now = match value {
            Value::Int(it) => Last::Int(*it),
            Value::Double(it) => Last::Double(*it),
            Value::Histogram(it) => Last::Count(it.count()),
            Value::ExponentialHistogram(it) => Last::Count(it.count()),
            // Whatever comes then is another life, of which nothing is known.
            Value::Ended => return std::mem::take(&mut self.start).min(time),
            _ => return self.start.min(time),
        };
        if self.start == 0 {
            self.start = if start == 0 { time } else { start };
        } else if self.last.falls_to(now) {
            // Another start than before, also where the first value was the last one.
            self.start = self.last_time.max(self.start + 1);
        }
        if self.last != Last::Amount {
            self.last = now;
        }
        self.last_time = time;
        self.start = self.start.min(time);
        self.start
    }
}

impl Last {
    #[allow(clippy::cast_precision_loss)]
    fn falls_to(self, now: Last) -> bool {
        match (self, now) {
            (Last::Int(last), Last::Int(now)) => now < last,
            (Last::Double(last), Last::Double(now)) => now < last,
            (Last::Int(last), Last::Double(now)) => now < last as f64,
            (Last::Double(last), Last::Int(now)) => (now as f64) < last,
            (Last::Count(last), Last::Count(now)) => now < last,
            _ => false,
        }
    }
}

/// A value times a factor; `None` where that is beyond all numbers. Whole numbers stay whole where they can; histograms, and
/// what is no number before, stay as they are.
pub(crate) fn scaled(value: &Value, scale: f64) -> Option<Value> {
    #[allow(clippy::cast_possible_truncation)]
    let whole = (scale.fract() == 0.0 && scale.abs() < 1e15).then_some(scale as i64);
    #[allow(clippy::cast_precision_loss)]
    let product = match value {
        Value::Int(it) => match whole.and_then(|whole| it.checked_mul(whole)) {
            Some(product) => return Some(Value::Int(product)),
            None => *it as f64 * scale,
        },
        Value::Double(it) if it.is_finite() => it * scale,
        other => return Some(other.clone()),
    };
    product.is_finite().then_some(Value::Double(product))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_falls_makes_exactly_one_new_start() {
        let mut row = Count::new(&Kind::COUNTER, 1);
        let shown = [
            (5, 10),
            (7, 20),
            (7, 30),
            (3, 40),
            (4, 50),
            (4, 60),
            (0, 70),
        ];
        let starts: Vec<u64> = shown
            .iter()
            .map(|(value, time)| row.start(&Value::Int(*value), 0, *time))
            .collect();
        assert_eq!(starts, [1, 1, 1, 30, 30, 30, 60]);
    }

    #[test]
    fn an_unknown_start_is_the_first_value_and_a_gap_does_not_move_it() {
        let mut row = Count::new(&Kind::COUNTER, 0);
        assert_eq!(row.start(&Value::Int(5), 0, 10), 10);
        assert_eq!(row.start(&Value::Absent, 0, 20), 10);
        assert_eq!(row.start(&Value::Int(6), 0, 30), 10);
        assert_eq!(row.start(&Value::Ended, 0, 40), 10);
        assert_eq!(row.start(&Value::Int(1), 0, 50), 50, "a new life");
    }

    #[test]
    fn a_life_after_the_end_begins_at_its_first_value() {
        let mut row = Count::new(&Kind::COUNTER, 1);
        assert_eq!(row.start(&Value::Int(5), 0, 10), 1);
        assert_eq!(row.start(&Value::Ended, 0, 20), 1);
        assert_eq!(row.start(&Value::Int(3), 0, 30), 30);
        assert_eq!(row.start(&Value::Int(2), 0, 40), 31, "a reset");
    }

    #[test]
    fn a_fall_from_the_first_value_is_a_new_start_too() {
        let mut row = Count::new(&Kind::COUNTER, 0);
        let shown = [(5, 10), (1, 20), (2, 30)];
        let starts = shown.map(|(value, time)| row.start(&Value::Int(value), 0, time));
        assert_eq!(starts, [10, 11, 11]);
    }

    #[test]
    fn an_amount_that_falls_is_no_reset() {
        let mut row = Count::new(&Kind::UP_DOWN_COUNTER, 1);
        let starts =
            [(5, 10), (3, 20), (4, 30)].map(|(value, time)| row.start(&Value::Int(value), 0, time));
        assert_eq!(starts, [1, 1, 1]);
    }

    #[test]
    fn a_clock_that_is_set_back_puts_no_start_after_its_point_and_makes_one_new_one() {
        let mut row = Count::new(&Kind::COUNTER, 0);
        assert_eq!(row.start(&Value::Int(5), 100, 200), 100);
        assert_eq!(row.start(&Value::Int(6), 100, 50), 50);
        assert_eq!(row.start(&Value::Int(7), 100, 60), 50);
        assert_eq!(row.start(&Value::Int(8), 100, 210), 50);
    }

    #[test]
    fn whole_numbers_stay_whole_where_they_can() {
        let int = |it, scale| scaled(&Value::Int(it), scale);
        assert_eq!(int(3, 512.0), Some(Value::Int(1536)));
        assert_eq!(int(3, 0.5), Some(Value::Double(1.5)));
        let twice = Value::Double(18_446_744_073_709_551_616.0);
        assert_eq!(int(i64::MAX, 2.0), Some(twice));
        assert_eq!(scaled(&Value::Ended, 2.0), Some(Value::Ended));
    }

    #[test]
    fn what_overflows_is_no_value_and_what_was_none_before_stays() {
        assert_eq!(scaled(&Value::Int(i64::MAX), 1e300), None);
        assert_eq!(scaled(&Value::Double(-1e300), 1e300), None);
        let infinite = Value::Double(f64::INFINITY);
        assert_eq!(scaled(&infinite, 2.0), Some(infinite));
    }
}
