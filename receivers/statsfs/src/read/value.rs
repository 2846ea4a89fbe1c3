//! Parses the content of a file.

use pipeline::Value;

use crate::config::ValueFormat;

/// Why a file gives no value: the reason of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reason(pub(crate) &'static str);

impl Reason {
    pub(crate) const EMPTY: Reason = Reason("empty");
    pub(crate) const NOT_NUMERIC: Reason = Reason("not_numeric");
    pub(crate) const MULTI_VALUE: Reason = Reason("multi_value");
    pub(crate) const OUT_OF_RANGE: Reason = Reason("out_of_range");
    pub(crate) const TOO_LARGE: Reason = Reason("too_large");
    pub(crate) const PERMISSION: Reason = Reason("permission");
    pub(crate) const LOCKDOWN: Reason = Reason("lockdown");
    pub(crate) const TIMEOUT: Reason = Reason("timeout");
    pub(crate) const STUCK: Reason = Reason("stuck");
    pub(crate) const DESCRIPTORS: Reason = Reason("descriptors");
    pub(crate) const IO: Reason = Reason("io");

    /// The cause, as a warning names it.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Reason::EMPTY => "empty file passed over",
            Reason::NOT_NUMERIC => {
                "not a decimal integer (`formats` reads other forms); passed over"
            }
            Reason::MULTI_VALUE => "several values in one file; passed over",
            Reason::OUT_OF_RANGE => "a number beyond 64 bits; passed over",
            Reason::TOO_LARGE => "larger than `limits.value_bytes`; passed over",
            Reason::PERMISSION => "permission denied; passed over",
            Reason::LOCKDOWN => {
                "hidden by the kernel's lockdown, as all writable files of debugfs; passed over"
            }
            Reason::TIMEOUT => "not read before the sweep's `timeout`; passed over",
            Reason::STUCK => "does not answer within `timeout`; passed over until it does",
            Reason::DESCRIPTORS => "no descriptor left to open it; passed over",
            _ => "cannot be read; passed over",
        }
    }
}

/// A value, and whether it lost precision: an unsigned number beyond `i64` becomes a double.
pub(crate) fn parse(bytes: &[u8], format: ValueFormat) -> Result<(Value, bool), Reason> {
    let text = std::str::from_utf8(bytes.trim_ascii()).map_err(|_| Reason::NOT_NUMERIC)?;
    if format == ValueFormat::Int
        && let Ok(it) = text.parse()
    {
        return Ok((Value::Int(it), false));
    }
    if text.is_empty() {
        return Err(Reason::EMPTY);
    }
    if text.contains(|c: char| c.is_ascii_whitespace()) {
        let number = |token: &str| token.parse::<f64>().is_ok_and(f64::is_finite);
        return Err(if text.split_ascii_whitespace().any(number) {
            Reason::MULTI_VALUE
        } else {
            Reason::NOT_NUMERIC
        });
    }
    match format {
        ValueFormat::Int => beyond(text),
        ValueFormat::Float => match text.parse::<f64>() {
            Ok(it) if it.is_finite() => Ok((Value::Double(it), false)),
            Ok(_) if text.starts_with(|c: char| c.is_ascii_digit()) => Err(Reason::OUT_OF_RANGE),
            _ => Err(Reason::NOT_NUMERIC),
        },
        ValueFormat::Hex => {
            let digits = text
                .strip_prefix("0x")
                .or_else(|| text.strip_prefix("0X"))
                .unwrap_or(text);
            let hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let digits = if hex {
                Ok(digits)
            } else {
                Err(Reason::NOT_NUMERIC)
            }?;
            u64::from_str_radix(digits, 16)
                .map(unsigned)
                .map_err(|_| Reason::OUT_OF_RANGE)
        }
        ValueFormat::Bool => match text.to_ascii_lowercase().as_str() {
            "1" | "y" | "yes" | "true" | "on" | "enabled" => Ok((Value::Int(1), false)),
            "0" | "n" | "no" | "false" | "off" | "disabled" => Ok((Value::Int(0), false)),
            _ => Err(Reason::NOT_NUMERIC),
        },
    }
}

/// An integer beyond `i64`.
fn beyond(text: &str) -> Result<(Value, bool), Reason> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Reason::NOT_NUMERIC);
    }
    text.parse::<u64>()
        .map(unsigned)
        .map_err(|_| Reason::OUT_OF_RANGE)
}

/// OTLP has no unsigned 64-bit number: one beyond `i64` becomes the nearest double, never a negative number.
#[allow(clippy::cast_precision_loss)]
fn unsigned(it: u64) -> (Value, bool) {
    i64::try_from(it).map_or((Value::Double(it as f64), true), |it| {
        (Value::Int(it), false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_kernel_writes_them() {
        let int = |text: &str| parse(text.as_bytes(), ValueFormat::Int).map(|(value, _)| value);
        for (text, value) in [
            ("42\n", 42),
            ("42", 42),
            (" 42\t\r\n\n", 42),
            ("-0", 0),
            ("007", 7),
            ("+5", 5),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(int(text), Ok(Value::Int(value)), "{text:?}");
        }
        assert_eq!(
            parse(b"18446744073709551615\n", ValueFormat::Int),
            Ok((Value::Double(18_446_744_073_709_551_615.0), true))
        );
        assert_eq!(
            int("9223372036854775808"),
            Ok(Value::Double(9.223_372_036_854_776e18))
        );
        let rejected = [
            (Reason::EMPTY, vec!["", "\n", "  "]),
            (
                Reason::NOT_NUMERIC,
                vec![
                    "0x1f",
                    "1f",
                    "1_000",
                    "1.5",
                    "1e3",
                    "inf",
                    "nan",
                    "Y",
                    "true",
                    "N/A (no PMA)",
                    "max",
                    "[always] never",
                    "\u{feff}42",
                    "4\u{0}2",
                    "-",
                    "+",
                    "--5",
                ],
            ),
            (
                Reason::MULTI_VALUE,
                vec!["1 2", "1\n2\n", "hits 5", "5 N0=3", "5 kB", "5 %"],
            ),
            (
                Reason::OUT_OF_RANGE,
                vec![
                    "1234567890123456789012345678901234567890",
                    "-9223372036854775809",
                    "18446744073709551616",
                ],
            ),
        ];
        for (reason, texts) in rejected {
            texts
                .iter()
                .for_each(|text| assert_eq!(int(text), Err(reason), "{text:?}"));
        }
        assert_eq!(
            parse(b"\xff\xfe", ValueFormat::Int),
            Err(Reason::NOT_NUMERIC)
        );
    }

    #[test]
    fn other_formats_are_read_where_they_are_asked_for() {
        assert_eq!(
            parse(b"1.5\n", ValueFormat::Float),
            Ok((Value::Double(1.5), false))
        );
        assert_eq!(
            parse(b"1e3", ValueFormat::Float),
            Ok((Value::Double(1000.0), false))
        );
        assert_eq!(parse(b"inf", ValueFormat::Float), Err(Reason::NOT_NUMERIC));
        assert_eq!(
            parse(b"1e999", ValueFormat::Float),
            Err(Reason::OUT_OF_RANGE)
        );
        assert_eq!(
            parse(b"0x1f", ValueFormat::Hex),
            Ok((Value::Int(31), false))
        );
        assert_eq!(
            parse(b"0xffffffffffffffff", ValueFormat::Hex).unwrap(),
            (Value::Double(18_446_744_073_709_551_615.0), true)
        );
        assert_eq!(parse(b"0x+1", ValueFormat::Hex), Err(Reason::NOT_NUMERIC));
        assert_eq!(parse(b"Y\n", ValueFormat::Bool), Ok((Value::Int(1), false)));
        assert_eq!(parse(b"off", ValueFormat::Bool), Ok((Value::Int(0), false)));
        assert_eq!(parse(b"2", ValueFormat::Bool), Err(Reason::NOT_NUMERIC));
    }

    #[test]
    fn no_content_makes_it_panic_or_wrap() {
        const ODD: &[u8] = b"0123456789+-.eExX \t\n\r\0YNinfa\xff\xc3";
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200_000 {
            let bytes: Vec<u8> = (0..random.usize(..24))
                .map(|_| ODD[random.usize(..ODD.len())])
                .collect();
            for format in [
                ValueFormat::Int,
                ValueFormat::Float,
                ValueFormat::Hex,
                ValueFormat::Bool,
            ] {
                let is_negative =
                    matches!(parse(&bytes, format), Ok((Value::Int(it), _)) if it < 0);
                assert!(
                    !is_negative || bytes.contains(&b'-'),
                    "seed {seed}: {bytes:?}"
                );
            }
        }
    }
}
