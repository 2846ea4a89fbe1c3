//! What stands in the cells of a line: numbers as people read them.

use pipeline::{ExponentialHistogram, Histogram, Kind, Value};

use super::rates::Rate;

/// A number, and whether it is nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) is_zero: bool,
}

impl Cell {
    fn new(text: &str, is_zero: bool) -> Cell {
        let text = grouped(text);
        Cell { text, is_zero }
    }
}

/// A value whole, a histogram by how many measurements it has.
pub(super) fn value(value: &Value) -> Cell {
    match value {
        Value::Ended => Cell::new("ended", false),
        Value::Int(it) => Cell::new(&it.to_string(), *it == 0),
        Value::Double(it) => Cell::new(&format!("{it:?}"), *it == 0.0),
        Value::Histogram(it) => count(it.count()),
        Value::ExponentialHistogram(it) => count(it.count()),
        _ => Cell::default(),
    }
}

fn count(count: u64) -> Cell {
    Cell::new(&count.to_string(), count == 0)
}

/// `1,204/s`; empty where nothing is known.
pub(super) fn rate(rate: Rate) -> Cell {
    match rate {
        Rate::Unknown => Cell::default(),
        Rate::Reset => Cell::new("reset", false),
        Rate::PerSecond(it) => Cell::new(&format!("{}/s", short(it)), it == 0.0),
    }
}

/// The mean of a histogram's measurements, the buckets of their median and of the slowest hundredth, and the largest one, as
/// far as they are known; nothing of other values.
pub(super) fn detail(value: &Value, kind: &Kind) -> String {
    let parts = match value {
        Value::Histogram(it) if it.count() > 0 => {
            let bounds: &[f64] = match kind {
                Kind::Histogram { bounds, .. } => &bounds.0,
                _ => &[],
            };
            let quantiles = [("p50", 50), ("p99", 99)]
                .map(|(name, percent)| Some(format!("{name}{}", quantile(it, bounds, percent)?)));
            let [median, slowest] = quantiles;
            let Histogram { sum, range, .. } = **it;
            [mean(sum, it.count()), median, slowest, max(range)]
        }
        Value::ExponentialHistogram(it) if it.count() > 0 => {
            let ExponentialHistogram { sum, range, .. } = **it;
            [mean(sum, it.count()), None, None, max(range)]
        }
        _ => return String::new(),
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[allow(clippy::cast_precision_loss)]
fn mean(sum: Option<f64>, count: u64) -> Option<String> {
    let mean = sum? / count as f64;
    Some(format!("mean={}", grouped(&short(mean))))
}

fn max(range: Option<(f64, f64)>) -> Option<String> {
    Some(format!("max={}", bound(range?.1)))
}

/// Which bucket so many percent of the measurements end in: `<=BOUND`, or `>BOUND` in the last one, which has no end.
fn quantile(histogram: &Histogram, bounds: &[f64], percent: u128) -> Option<String> {
    let rank = (u128::from(histogram.count()) * percent).div_ceil(100);
    let mut seen = 0;
    let bucket = histogram.counts.iter().position(|count| {
        seen += u128::from(*count);
        seen >= rank
    })?;
    match bounds.get(bucket) {
        Some(it) => Some(format!("<={}", bound(*it))),
        None => Some(format!(">{}", bound(*bounds.last()?))),
    }
}

fn bound(bound: f64) -> String {
    let text = format!("{bound:?}");
    grouped(text.strip_suffix(".0").unwrap_or(&text))
}

/// A number by its first three digits or so, as far as they are behind the point.
fn short(number: f64) -> String {
    let size = number.abs();
    match size {
        0.0 => "0".into(),
        _ if !(0.01..1e15).contains(&size) => format!("{number:.1e}"),
        _ if size < 9.995 => format!("{number:.2}"),
        _ if size < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// The text with its first digits in groups of three.
fn grouped(text: &str) -> String {
    let start = text
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(text.len());
    let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
    let mut out = text[..start].to_owned();
    for (index, digit) in text[start..start + digits].chars().enumerate() {
        if index > 0 && (digits - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + &text[start + digits..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::formats::text;

    /// What stands in the cells of a point in the notation.
    fn cells(point: &str) -> (String, bool, String) {
        let batch = &text::parse(point).unwrap()[0];
        let (shown, kind) = (&batch.values()[0], &batch.table().series()[0].kind);
        let Cell { text, is_zero } = value(shown);
        (text, is_zero, detail(shown, kind))
    }

    #[test]
    fn thousands_are_set_apart_and_no_digit_is_lost() {
        for (point, expected) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567", "-1,234,567"),
            ("9223372036854775807", "9,223,372,036,854,775,807"),
            ("-9223372036854775808", "-9,223,372,036,854,775,808"),
            ("1234567.0625", "1,234,567.0625"),
            ("1.8446744073709552e19", "1.8446744073709552e19"),
            ("0.0001", "0.0001"),
            ("NaN", "NaN"),
            ("-inf", "-inf"),
            ("end", "ended"),
        ] {
            let (text, is_zero, detail) = cells(&format!("s/a {point} gauge"));
            assert_eq!((&*text, &*detail), (expected, ""));
            assert_eq!(is_zero, point == "0", "{point}");
        }
        assert!(cells("s/a -0.0 gauge").1);
    }

    #[test]
    fn a_histogram_is_its_count_and_where_its_measurements_lie() {
        for (point, expected) in [
            (
                "1024.0:1200,65536.0:40,inf:1;sum:2482.0;range:1.0..70000.5",
                ("1,241", "mean=2.00 p50<=1,024 p99<=65,536 max=70,000.5"),
            ),
            ("1.0:0,2.5:1,inf:99", ("100", "p50>2.5 p99>2.5")),
            ("inf:7", ("7", "")),
            ("1.0:0,inf:0", ("0", "")),
        ] {
            let (text, is_zero, detail) = cells(&format!("s/a {point} histogram ns"));
            assert_eq!((&*text, &*detail), expected);
            assert_eq!(is_zero, text == "0");
        }
        let point = "s/a scale:0;zero:1;+2:1,2;sum:20.0;range:0.0..9.0 exponential ns";
        let (text, _, detail) = cells(point);
        assert_eq!((&*text, &*detail), ("4", "mean=5.00 max=9"));
    }

    #[test]
    fn a_rate_has_three_digits_or_so() {
        for (number, expected) in [
            (0.0, "0/s"),
            (0.001, "1.0e-3/s"),
            (0.333, "0.33/s"),
            (9.999, "10.0/s"),
            (99.99, "100/s"),
            (1_234_567.8, "1,234,568/s"),
            (1e18, "1.0e18/s"),
        ] {
            let cell = rate(Rate::PerSecond(number));
            assert_eq!((&*cell.text, cell.is_zero), (expected, number == 0.0));
        }
        assert_eq!(rate(Rate::Reset).text, "reset");
        assert_eq!(rate(Rate::Unknown), Cell::default());
    }
}
