//! Since when a value counts: starts, resets and scale, row by row.

use pipeline::Value;

/// What is remembered of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Whether the fields below were set.
    pub(crate) known: bool,
    pub(crate) scale: Option<f64>,
    /// Since when it counts, unix ns; 0 before its first value.
    start: u64,
    last: Value,
    last_time: u64,
}

impl Row {
    /// The value as it goes out.
    pub(crate) fn scaled(&self, value: Value) -> Value {
        match self.scale {
            None => value,
            Some(scale) => times(value, scale),
        }
    }

    /// The start of a counter that shows `value` at `time`; `start` is what the receiver knows, 0 if nothing. A value
    /// that falls is a reset: it counts anew since it was last read. Where nobody knows the start, it is the time of
    /// the first value, which adds nothing to a rate
    /// ([OpenTelemetry: resets and gaps](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps)).
    /// A start is never after its point: the clock may have been set back.
    pub(crate) fn start(&mut self, value: Value, start: u64, time: u64) -> u64 {
        match value {
            Value::Int(_) | Value::Double(_) => {
                if self.start == 0 {
                    self.start = if start == 0 { time } else { start };
                } else if falls(self.last, value) {
                    self.start = self.last_time;
                }
                (self.last, self.last_time) = (value, time);
            }
            Value::Ended => {
                let ended = std::mem::take(self);
                (self.known, self.scale) = (ended.known, ended.scale);
                return ended.start.min(time);
            }
            _ => {}
        }
        self.start.min(time)
    }
}

fn falls(last: Value, now: Value) -> bool {
    match (last, now) {
        (Value::Int(last), Value::Int(now)) => now < last,
        (last, now) => number(last)
            .zip(number(now))
            .is_some_and(|(last, now)| now < last),
    }
}

#[allow(clippy::cast_precision_loss)]
fn number(value: Value) -> Option<f64> {
    match value {
        Value::Int(it) => Some(it as f64),
        Value::Double(it) => Some(it),
        _ => None,
    }
}

/// Whole numbers stay whole where they can.
fn times(value: Value, scale: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)]
    let whole = (scale.fract() == 0.0 && scale.abs() < 1e15).then_some(scale as i64);
    match value {
        Value::Int(it) => match whole.and_then(|whole| it.checked_mul(whole)) {
            Some(product) => Value::Int(product),
            None => number(value).map_or(value, |it| Value::Double(it * scale)),
        },
        Value::Double(it) => Value::Double(it * scale),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_falls_makes_exactly_one_new_start() {
        let mut row = Row::default();
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
            .map(|(value, time)| row.start(Value::Int(*value), 1, *time))
            .collect();
        assert_eq!(starts, [1, 1, 1, 30, 30, 30, 60]);
    }

    #[test]
    fn an_unknown_start_is_the_first_value_and_a_gap_does_not_move_it() {
        let mut row = Row::default();
        assert_eq!(row.start(Value::Int(5), 0, 10), 10);
        assert_eq!(row.start(Value::Absent, 0, 20), 10);
        assert_eq!(row.start(Value::Int(6), 0, 30), 10);
        assert_eq!(row.start(Value::Ended, 0, 40), 10);
        assert_eq!(row.start(Value::Int(1), 0, 50), 50, "a new life");
    }

    #[test]
    fn a_clock_that_is_set_back_puts_no_start_after_its_point() {
        let mut row = Row::default();
        assert_eq!(row.start(Value::Int(5), 100, 200), 100);
        assert_eq!(row.start(Value::Int(6), 100, 50), 50);
        assert_eq!(row.start(Value::Int(7), 100, 210), 100);
    }

    #[test]
    fn whole_numbers_stay_whole_where_they_can() {
        assert_eq!(times(Value::Int(3), 512.0), Value::Int(1536));
        assert_eq!(times(Value::Int(3), 0.5), Value::Double(1.5));
        assert_eq!(
            times(Value::Int(i64::MAX), 2.0),
            Value::Double(18_446_744_073_709_551_616.0)
        );
        assert_eq!(times(Value::Ended, 2.0), Value::Ended);
    }
}
