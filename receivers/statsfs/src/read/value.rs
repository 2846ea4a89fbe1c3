//! Parses the content of a file.

use pipeline::Value;

use super::content::content;
use super::reason::Reason;
use crate::config::ValueFormat;

/// A value, and whether it lost precision: an unsigned number beyond `i64` becomes a double.
pub(crate) fn parse(bytes: &[u8], format: ValueFormat) -> Result<(Value, bool), Reason> {
    let text = std::str::from_utf8(bytes.trim_ascii()).map_err(|_| Reason::Binary)?;
    if format == ValueFormat::Int
        && let Ok(it) = text.parse()
    {
        return Ok((Value::Int(it), false));
    }
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    match format {
        ValueFormat::Int => beyond(text),
        ValueFormat::Float => match text.parse::<f64>() {
            Ok(it) if it.is_finite() => Ok((Value::Double(it), false)),
            Ok(_) if text.starts_with(|c: char| c.is_ascii_digit()) => Err(Reason::OutOfRange),
            _ => Err(content(text)),
        },
        ValueFormat::Hex => {
            let digits = text
                .strip_prefix("0x")
                .or_else(|| text.strip_prefix("0X"))
                .unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(content(text));
            }
            u64::from_str_radix(digits, 16)
                .map(unsigned)
                .map_err(|_| Reason::OutOfRange)
        }
        ValueFormat::Bool => truth_value(text)
            .map(|it| (Value::Int(it.into()), false))
            .ok_or_else(|| content(text)),
    }
}

/// `Y`, `off`, as the kernel writes them.
pub(super) fn truth_value(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "y" | "yes" | "true" | "on" | "enabled" => Some(true),
        "0" | "n" | "no" | "false" | "off" | "disabled" => Some(false),
        _ => None,
    }
}

/// An integer beyond `i64`.
fn beyond(text: &str) -> Result<(Value, bool), Reason> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(content(text));
    }
    text.parse::<u64>()
        .map(unsigned)
        .map_err(|_| Reason::OutOfRange)
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
            ("empty", vec!["", "\n", "  "]),
            (
                "not_numeric",
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
                    "hits 5",
                    "5 kB",
                    "5 %",
                ],
            ),
            ("multi_value", vec!["1 2", "1\n2\n", "5 N0=3"]),
            (
                "out_of_range",
                vec![
                    "1234567890123456789012345678901234567890",
                    "-9223372036854775809",
                    "18446744073709551616",
                ],
            ),
        ];
        for (reason, texts) in rejected {
            for text in texts {
                assert_eq!(int(text).map_err(Reason::name), Err(reason), "{text:?}");
            }
        }
        assert_eq!(parse(b"\xff\xfe", ValueFormat::Int), Err(Reason::Binary));
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
        assert_eq!(parse(b"inf", ValueFormat::Float), Err(Reason::Word));
        assert_eq!(parse(b"1e999", ValueFormat::Float), Err(Reason::OutOfRange));
        assert_eq!(
            parse(b"0x1f", ValueFormat::Hex),
            Ok((Value::Int(31), false))
        );
        assert_eq!(
            parse(b"0xffffffffffffffff", ValueFormat::Hex).unwrap(),
            (Value::Double(18_446_744_073_709_551_615.0), true)
        );
        assert_eq!(parse(b"0x+1", ValueFormat::Hex), Err(Reason::Text));
        assert_eq!(parse(b"Y\n", ValueFormat::Bool), Ok((Value::Int(1), false)));
        assert_eq!(parse(b"off", ValueFormat::Bool), Ok((Value::Int(0), false)));
        assert_eq!(parse(b"2", ValueFormat::Bool), Err(Reason::Integer));
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
