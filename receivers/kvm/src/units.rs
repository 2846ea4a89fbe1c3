//! The value of a raw number of the kernel's.

use kvm_stats::Scale;
use pipeline::Value;

/// The value of a raw number. Beyond 64 bits with a sign it is a double, which is counted as `lossy`.
#[inline]
pub(crate) fn value(scale: Scale, raw: u64, lossy: &mut u64) -> Value {
    let whole = match scale {
        Scale::One => i64::try_from(raw).ok(),
        Scale::Times(factor) => raw
            .checked_mul(factor)
            .and_then(|it| i64::try_from(it).ok()),
        Scale::By(_) => return Value::Double(scale.real(raw)),
    };
    whole.map_or_else(
        || {
            *lossy += 1;
            Value::Double(scale.real(raw))
        },
        Value::Int,
    )
}

#[cfg(test)]
mod tests {
    use kvm_stats::StatisticUnit::{Boolean, Bytes, Cycles, None as Plain, Seconds};
    use kvm_stats::{StatisticUnit, unit};

    use super::*;

    fn shown(of: StatisticUnit, base: u8, exponent: i16, normalize: bool) -> (String, Value) {
        let (unit, scale) = unit(of, base, exponent, normalize);
        let unit = unit.map_or(String::new(), |it| it.to_string());
        (unit, value(scale, 1500, &mut 0))
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
        let all_ones = value(Scale::One, u64::MAX, &mut lossy);
        assert_eq!(all_ones, Value::Double(18_446_744_073_709_551_615.0));
        assert_eq!(lossy, 1);
        for exponent in [i16::MIN, -1, 0, 1, 18, 19, 63, 64, i16::MAX] {
            for base in [2, 10] {
                let scale = Scale::power(base, exponent);
                for raw in [0, 1, u64::MAX] {
                    let _ = value(scale, raw, &mut lossy);
                }
            }
        }
    }
}
