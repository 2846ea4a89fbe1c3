//! Histograms in the notation.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::data::{ExponentialHistogram, Histogram, Kind, Value};

/// `BOUND:COUNT,…,inf:COUNT[;sum:S][;range:MIN..MAX]`.
pub(super) fn explicit(it: &Histogram, kind: &Kind) -> String {
    let bounds: &[f64] = match kind {
        Kind::Histogram { bounds, .. } => &bounds.0,
        _ => &[],
    };
    let mut bounds = bounds.iter();
    let mut buckets = it.counts.iter().map(|count| match bounds.next() {
        Some(bound) => format!("{bound:?}:{count}"),
        None => format!("inf:{count}"),
    });
    let mut out = buckets.by_ref().collect::<Vec<_>>().join(",");
    sum_and_range(it.sum, it.range, &mut out);
    out
}

/// `scale:S;zero:COUNT[@THRESHOLD][;+INDEX:COUNT,…][;-INDEX:COUNT,…][;sum:S][;range:MIN..MAX]`.
pub(super) fn exponential(it: &ExponentialHistogram) -> String {
    let mut out = format!("scale:{};zero:{}", it.scale, it.zero_count);
    if it.zero_threshold != 0.0 {
        let _ = write!(out, "@{:?}", it.zero_threshold);
    }
    for (sign, (index, counts)) in [('+', &it.positive), ('-', &it.negative)] {
        if !counts.is_empty() {
            let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
            let _ = write!(out, ";{sign}{index}:{}", counts.join(","));
        }
    }
    sum_and_range(it.sum, it.range, &mut out);
    out
}

fn sum_and_range(sum: Option<f64>, range: Option<(f64, f64)>, out: &mut String) {
    if let Some(sum) = sum {
        let _ = write!(out, ";sum:{sum:?}");
    }
    if let Some((min, max)) = range {
        let _ = write!(out, ";range:{min:?}..{max:?}");
    }
}

/// A value and its bounds, which rise.
pub(super) fn parse_explicit(text: &str) -> Option<(Value, Vec<f64>)> {
    match text {
        "-" => return Some((Value::Absent, Vec::new())),
        "end" => return Some((Value::Ended, Vec::new())),
        _ => {}
    }
    let mut parts = text.split(';');
    let (mut bounds, mut counts) = (Vec::new(), Vec::new());
    for bucket in parts.next()?.split(',') {
        let (bound, count) = bucket.split_once(':')?;
        counts.push(count.parse().ok()?);
        bounds.push(if bound == "inf" {
            f64::INFINITY
        } else {
            finite(bound)?
        });
    }
    let is_whole = bounds.pop() == Some(f64::INFINITY) && bounds.iter().all(|it| it.is_finite());
    if !is_whole || !bounds.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut histogram = Histogram {
        counts,
        ..Histogram::default()
    };
    for part in parts {
        end(part, &mut histogram.sum, &mut histogram.range)?;
    }
    Some((Value::Histogram(Arc::new(histogram)), bounds))
}

pub(super) fn parse_exponential(text: &str) -> Option<Value> {
    match text {
        "-" => return Some(Value::Absent),
        "end" => return Some(Value::Ended),
        _ => {}
    }
    let mut parts = text.split(';');
    let zero = |text: &str| match text.split_once('@') {
        Some((count, threshold)) => Some((count.parse().ok()?, finite(threshold)?)),
        None => Some((text.parse().ok()?, 0.0)),
    };
    let scale = parts.next()?.strip_prefix("scale:")?.parse().ok()?;
    let (zero_count, zero_threshold) = zero(parts.next()?.strip_prefix("zero:")?)?;
    let mut histogram = ExponentialHistogram {
        scale,
        zero_count,
        zero_threshold,
        ..ExponentialHistogram::default()
    };
    for part in parts {
        let side = match part.chars().next()? {
            '+' => &mut histogram.positive,
            '-' => &mut histogram.negative,
            _ => {
                end(part, &mut histogram.sum, &mut histogram.range)?;
                continue;
            }
        };
        let (index, counts) = part[1..].split_once(':')?;
        let counts = counts.split(',').map(|count| count.parse().ok());
        *side = (index.parse().ok()?, counts.collect::<Option<_>>()?);
    }
    Some(Value::ExponentialHistogram(Arc::new(histogram)))
}

/// What may stand at the end: a sum, a range.
fn end(part: &str, sum: &mut Option<f64>, range: &mut Option<(f64, f64)>) -> Option<()> {
    if let Some(text) = part.strip_prefix("sum:") {
        *sum = Some(finite(text)?);
    } else {
        let (min, max) = part.strip_prefix("range:")?.split_once("..")?;
        *range = Some((finite(min)?, finite(max)?));
    }
    Some(())
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|it: &f64| it.is_finite())
}
