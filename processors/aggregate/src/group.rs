//! What the members of a group are together: pure.

use pipeline::{Kind, Series, Temporality, Value};

use crate::config::Function;

/// Series that become one.
#[derive(Debug)]
pub(crate) struct Group {
    /// As it goes on.
    pub(crate) series: Series,
    function: Function,
    /// Rows of tables above that are its members, ended or not.
    pub(crate) members: usize,
    /// Points that came in since it last went on.
    pub(crate) came: usize,
    /// A member has shown a value since then.
    pub(crate) is_fresh: bool,
    /// A member has ended since then.
    pub(crate) has_ended: bool,
    /// Members that count now.
    pub(crate) live: usize,
    /// The members that count now, put together.
    together: Together,
    /// All that a counter's members ever counted, whether or not they are still there.
    counted: Sum,
    /// Since when it counts, unix ns; 0 if not known.
    start: Option<u64>,
    /// Whether its first point is the baseline: more may have been counted since its start than its first members show.
    is_baseline: bool,
    /// When it last went on, unix ns; 0: not yet.
    went: u64,
}

impl Group {
    pub(crate) fn new(series: Series, function: Function) -> Group {
        Group {
            series,
            function,
            members: 0,
            came: 0,
            is_fresh: false,
            has_ended: false,
            live: 0,
            together: Together::default(),
            counted: Sum::default(),
            start: None,
            is_baseline: false,
            went: 0,
        }
    }

    /// Whether its points are what was counted since the one before.
    pub(crate) fn is_delta(&self) -> bool {
        self.series.kind.temporality() == Some(Temporality::Delta)
    }

    /// Whether it keeps what members that ended had counted.
    fn is_counter(&self) -> bool {
        self.function == Function::Sum && self.series.kind == Kind::COUNTER
    }

    /// A member shows `now`, counted since `start` and read at `time`; `before` is what it showed last, if anything,
    /// `tick` the time from sweep to sweep, ns, and `began` when this processor did, unix ns.
    ///
    /// What goes on counts since the earliest start among the first members, as all that they show was counted since
    /// then, and keeps that start: another one would say that it began anew
    /// ([OpenTelemetry: sums](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#sums)). A counter that
    /// joins later and is older than the last point adds only what it counts from now on, as one whose start is not
    /// known ([resets and gaps](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps)). A
    /// counter whose first members are older than this processor, or of unknown start, is itself of unknown start: nobody
    /// knows who left it before, and the one that this program sent before a restart is not to fall.
    pub(crate) fn show(
        &mut self,
        before: &Value,
        now: &Value,
        (start, time): (u64, u64),
        (tick, began): (u64, u64),
    ) {
        self.is_fresh = true;
        if self.went == 0 || self.is_delta() {
            self.start = Some(self.start.map_or(start, |have| have.min(start)));
        }
        if self.is_counter() {
            self.is_baseline |= self.went == 0 && (start < began || start >= time);
            let since = self.went.saturating_sub(tick);
            match before {
                Value::Absent if self.went == 0 || (start >= since && start < time) => {
                    self.counted.add(now);
                }
                Value::Absent => {}
                before => self.counted.add_increase(before, now),
            }
        }
    }

    /// Begins to put together anew.
    pub(crate) fn begin(&mut self) {
        (self.together, self.live) = (Together::default(), 0);
    }

    /// Counts a member in.
    pub(crate) fn add(&mut self, value: &Value) {
        self.together.add(value);
    }

    /// The value and start that go on at `time`, and how many points were put together for them.
    pub(crate) fn take(&mut self, time: u64) -> (Value, u64, usize) {
        let came = std::mem::take(&mut self.came);
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let has_ended = std::mem::take(&mut self.has_ended);
        if std::mem::take(&mut self.is_baseline) {
            self.start = Some(time);
        }
        let start = self.start.unwrap_or_default().min(time);
        if has_ended && self.live == 0 {
            // One that comes later begins a new life.
            (self.start, self.went, self.counted) = (None, 0, Sum::default());
            return (Value::Ended, start, came);
        }
        if !is_fresh {
            return (Value::Absent, start, came);
        }
        if self.is_delta() {
            self.start = None;
        }
        self.went = time;
        let value = match self.function {
            Function::Sum if self.is_counter() => self.counted.value(),
            Function::Sum => self.together.sum.value(),
            Function::Min => self.together.least.clone(),
            Function::Max => self.together.most.clone(),
            Function::Avg => self.together.mean(),
        };
        (value, start, came)
    }
}

/// Values, put together in every way.
#[derive(Debug, Default)]
struct Together {
    sum: Sum,
    least: Value,
    most: Value,
    count: u32,
}

impl Together {
    fn add(&mut self, value: &Value) {
        self.sum.add(value);
        self.count += 1;
        if self.least == Value::Absent || is_less(value, &self.least) {
            self.least = value.clone();
        }
        if self.most == Value::Absent || is_less(&self.most, value) {
            self.most = value.clone();
        }
    }

    fn mean(&self) -> Value {
        Value::Double(self.sum.real() / f64::from(self.count))
    }
}

/// A sum that is whole while all that was added is, and exact then.
#[derive(Clone, Debug, Default)]
struct Sum {
    whole: i128,
    real: f64,
    is_real: bool,
}

impl Sum {
    fn add(&mut self, value: &Value) {
        match value {
            // 2^64 values do not overflow it.
            Value::Int(it) => self.whole += i128::from(*it),
            Value::Double(it) => (self.real, self.is_real) = (self.real + it, true),
            _ => {}
        }
    }

    /// Adds what a counter counted from one value to the next; one that fell began anew.
    fn add_increase(&mut self, before: &Value, now: &Value) {
        if is_less(now, before) {
            return self.add(now);
        }
        match (before, now) {
            (Value::Int(before), Value::Int(now)) => {
                self.whole += i128::from(*now) - i128::from(*before);
            }
            _ => self.add(&Value::Double(real(now) - real(before))),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn real(&self) -> f64 {
        self.whole as f64 + self.real
    }

    /// A sum that 64 bits do not hold is a real number.
    fn value(&self) -> Value {
        match i64::try_from(self.whole) {
            Ok(whole) if !self.is_real => Value::Int(whole),
            _ => Value::Double(self.real()),
        }
    }
}

fn is_less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a < b,
        _ => real(a) < real(b),
    }
}

#[allow(clippy::cast_precision_loss)]
fn real(value: &Value) -> f64 {
    match value {
        Value::Int(it) => *it as f64,
        Value::Double(it) => *it,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_whole_while_64_bits_hold_them() {
        let sum = |values: &[Value]| {
            let mut sum = Sum::default();
            values.iter().for_each(|it| sum.add(it));
            sum.value()
        };
        let (max, one) = (Value::Int(i64::MAX), Value::Int(1));
        assert_eq!(sum(&[max.clone(), one.clone(), Value::Int(-1)]), max);
        assert_eq!(
            sum(&[max, one.clone()]),
            Value::Double(9.223_372_036_854_776e18)
        );
        assert_eq!(sum(&[one, Value::Double(0.5)]), Value::Double(1.5));
    }

    #[test]
    fn a_counter_that_fell_began_anew() {
        let mut sum = Sum::default();
        sum.add(&Value::Int(10));
        sum.add_increase(&Value::Int(10), &Value::Int(15));
        sum.add_increase(&Value::Int(15), &Value::Int(2));
        assert_eq!(sum.value(), Value::Int(17));
        sum.add_increase(&Value::Int(2), &Value::Double(2.5));
        assert_eq!(sum.value(), Value::Double(17.5));
    }
}
