//! Counters that begin again at zero at a known range, as energy meters do: the range is added each time.

use std::sync::Arc;

use pipeline::Value;

/// How a counter wraps, and how often it has.
#[derive(Clone, Debug)]
pub(crate) struct Wrap {
    /// The file beside it that shows its range.
    range_file: Arc<str>,
    /// What that last showed.
    range: Option<i64>,
    /// What the counter last showed.
    last: Option<i64>,
    /// What its wraps add up to.
    offset: i64,
}

impl Wrap {
    pub(crate) fn new(range_file: Arc<str>) -> Wrap {
        Wrap {
            range_file,
            range: None,
            last: None,
            offset: 0,
        }
    }

    /// The file beside it that shows its range.
    pub(crate) fn range_file(&self) -> &str {
        &self.range_file
    }

    /// The value with its wraps; `range` is what the file beside it shows now. A fall is a wrap where the range is known
    /// and not below what was last shown; else it is a reset: the value stands as it is.
    pub(crate) fn unwrapped(&mut self, value: &Value, range: Option<&Value>) -> Value {
        if let Some(Value::Int(range)) = range {
            self.range = Some(*range);
        }
        let Value::Int(now) = *value else {
            if *value == Value::Ended {
                (self.last, self.offset) = (None, 0);
            }
            return value.clone();
        };
        if let Some(last) = self.last.replace(now).filter(|last| now < *last) {
            let range = self.range.filter(|range| *range >= last);
            self.offset = range
                .and_then(|range| self.offset.checked_add(range))
                .unwrap_or(0);
        }
        let Some(sum) = now.checked_add(self.offset) else {
            self.offset = 0;
            return value.clone();
        };
        Value::Int(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(range: Option<i64>, values: &[i64]) -> Vec<Value> {
        let mut wrap = Wrap::new("max_energy_range_uj".into());
        let range = range.map(Value::Int);
        let values = values.iter();
        values
            .map(|it| wrap.unwrapped(&Value::Int(*it), range.as_ref()))
            .collect()
    }

    #[test]
    fn a_fall_adds_the_range() {
        assert_eq!(
            shown(Some(100), &[90, 5, 99, 10]),
            [90, 105, 199, 210].map(Value::Int)
        );
    }

    #[test]
    fn without_a_range_that_fits_a_fall_is_a_reset() {
        for range in [None, Some(0), Some(89), Some(-1)] {
            assert_eq!(
                shown(range, &[90, 5, 6]),
                [90, 5, 6].map(Value::Int),
                "{range:?}"
            );
        }
    }

    #[test]
    fn a_range_is_remembered_and_the_end_forgets_the_wraps() {
        let mut wrap = Wrap::new("r".into());
        let int = Value::Int;
        assert_eq!(wrap.unwrapped(&int(90), Some(&int(100))), int(90));
        assert_eq!(wrap.unwrapped(&Value::Absent, None), Value::Absent);
        assert_eq!(wrap.unwrapped(&int(5), Some(&Value::Absent)), int(105));
        assert_eq!(wrap.unwrapped(&Value::Ended, None), Value::Ended);
        assert_eq!(wrap.unwrapped(&int(3), None), int(3));
    }

    #[test]
    fn what_is_too_large_to_add_is_a_reset() {
        let all = [i64::MAX, i64::MAX - 1, i64::MAX - 2, i64::MAX - 3];
        assert_eq!(shown(Some(i64::MAX), &all), all.map(Value::Int));
    }
}
