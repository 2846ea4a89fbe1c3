//! A unit of the kernel's, with base and exponent, as UCUM says it ([UCUM](https://ucum.org/ucum)), and what values are
//! multiplied by for that.

use std::sync::Arc;

use pipeline::Value;

use crate::descriptors::StatisticUnit;

/// What a value is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// It stays as it is.
    One,
    /// It stays a whole number.
    Times(u64),
    /// It becomes a real number.
    By(f64),
}

impl Scale {
    /// The base to this power.
    fn power(base: u8, exponent: i16) -> Scale {
        let factor = u32::try_from(exponent).ok();
        match factor.and_then(|it| u64::from(base).checked_pow(it)) {
            Some(1) => Scale::One,
            Some(factor) => Scale::Times(factor),
            None => Scale::By(f64::from(base).powi(i32::from(exponent))),
        }
    }

    /// The value of a raw number. Beyond 64 bits with a sign it is a double, which is counted as `lossy`.
    pub(crate) fn value(self, raw: u64, lossy: &mut u64) -> Value {
        let whole = match self {
            Scale::One => i64::try_from(raw).ok(),
            Scale::Times(factor) => raw
                .checked_mul(factor)
                .and_then(|it| i64::try_from(it).ok()),
            Scale::By(_) => return Value::Double(self.real(raw)),
        };
        whole.map_or_else(
            || {
                *lossy += 1;
                Value::Double(self.real(raw))
            },
            Value::Int,
        )
    }

    /// The same as a real number.
    pub(crate) fn real(self, raw: u64) -> f64 {
        self.scaled(as_f64(raw))
    }

    /// A real number, multiplied.
    pub(crate) fn scaled(self, number: f64) -> f64 {
        match self {
            Scale::One => number,
            Scale::Times(factor) => number * as_f64(factor),
            // So that 1,500,000,000 ns are 1.5 s, and not next to it.
            Scale::By(factor) if factor < 1.0 => number / (1.0 / factor).round(),
            Scale::By(factor) => number * factor,
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// The unit, where the kernel names one, and what values are multiplied by to be in it. With `normalize`, durations are in
/// seconds and amounts of memory in bytes.
pub(crate) fn unit(
    unit: StatisticUnit,
    base: u8,
    exponent: i16,
    normalize: bool,
) -> (Option<Arc<str>>, Scale) {
    let prefixed = match (unit, base, exponent) {
        (StatisticUnit::Bytes, 2, 10) => Some("KiBy"),
        (StatisticUnit::Bytes, 2, 20) => Some("MiBy"),
        (StatisticUnit::Bytes, 2, 30) => Some("GiBy"),
        (StatisticUnit::Bytes, 2, 40) => Some("TiBy"),
        (StatisticUnit::Bytes, 10, 3) => Some("kBy"),
        (StatisticUnit::Bytes, 10, 6) => Some("MBy"),
        (StatisticUnit::Bytes, 10, 9) => Some("GBy"),
        (StatisticUnit::Bytes, 10, 12) => Some("TBy"),
        (StatisticUnit::Seconds, 10, -3) => Some("ms"),
        (StatisticUnit::Seconds, 10, -6) => Some("us"),
        (StatisticUnit::Seconds, 10, -9) => Some("ns"),
        _ => None,
    };
    if let Some(prefixed) = prefixed.filter(|_| !normalize) {
        return (Some(prefixed.into()), Scale::One);
    }
    let plain = match unit {
        StatisticUnit::None => None,
        StatisticUnit::Bytes => Some("By"),
        StatisticUnit::Seconds => Some("s"),
        StatisticUnit::Cycles => Some("{cycle}"),
        StatisticUnit::Boolean => Some("1"),
    };
    (plain.map(Arc::from), Scale::power(base, exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use StatisticUnit::{Boolean, Bytes, Cycles, None as Plain, Seconds};

    fn shown(of: StatisticUnit, base: u8, exponent: i16, normalize: bool) -> (String, Value) {
        let (unit, scale) = unit(of, base, exponent, normalize);
        let unit = unit.map_or(String::new(), |it| it.to_string());
        (unit, scale.value(1500, &mut 0))
    }

    #[test]
    fn what_ucum_has_a_prefix_for_stays_a_whole_number() {
        for (unit, base, exponent, expected) in [
            (Seconds, 10, -9, "ns"),
            (Seconds, 10, 0, "s"),
            (Bytes, 2, 10, "KiBy"),
            (Bytes, 10, 6, "MBy"),
            (Boolean, 10, 0, "1"),
            (Plain, 10, 0, ""),
        ] {
            let expected = (expected.to_owned(), Value::Int(1500));
            assert_eq!(shown(unit, base, exponent, false), expected);
        }
    }

    #[test]
    fn the_rest_is_multiplied() {
        for (unit, base, exponent, expected, value) in [
            (Cycles, 10, 6, "{cycle}", Value::Int(1_500_000_000)),
            (Seconds, 10, -2, "s", Value::Double(15.0)),
            (Seconds, 10, 1, "s", Value::Int(15_000)),
            (Seconds, 2, -1, "s", Value::Double(750.0)),
            (Bytes, 2, 4, "By", Value::Int(24_000)),
            (Plain, 10, 2, "", Value::Int(150_000)),
        ] {
            assert_eq!(shown(unit, base, exponent, false), (expected.into(), value));
        }
    }

    #[test]
    fn normalized_units_are_seconds_and_bytes() {
        let normal = |unit, base, exponent| shown(unit, base, exponent, true);
        assert_eq!(
            normal(Seconds, 10, -9),
            ("s".into(), Value::Double(0.000_001_5))
        );
        assert_eq!(normal(Seconds, 10, -3), ("s".into(), Value::Double(1.5)));
        assert_eq!(normal(Bytes, 2, 10), ("By".into(), Value::Int(1500 * 1024)));
    }

    #[test]
    fn no_number_and_no_exponent_makes_it_panic_and_what_is_too_large_is_a_double() {
        let mut lossy = 0;
        let all_ones = Scale::One.value(u64::MAX, &mut lossy);
        assert_eq!(all_ones, Value::Double(18_446_744_073_709_551_615.0));
        assert_eq!(lossy, 1);
        for exponent in [i16::MIN, -1, 0, 1, 18, 19, 63, 64, i16::MAX] {
            for base in [2, 10] {
                let scale = Scale::power(base, exponent);
                for raw in [0, 1, u64::MAX] {
                    let _ = scale.value(raw, &mut lossy);
                }
            }
        }
    }
}
