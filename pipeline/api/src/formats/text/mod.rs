//! The notation: `NAME{k=v,…} VALUE [KIND [UNIT]]`, one point a line. It parses back.
//!
//! A name, key or value that is empty, begins with `#` or has one of `,={}"\`, a blank, a control or a format character
//! is a JSON string, in which the latter two are escaped. Doubles carry `.` or `e`; absent is `-`, ended is `end`; a kind that nobody knows is left out, or
//! `unknown` where a unit follows. A histogram's value is what it counted up to each bound, `1.0:2,3.0:0,inf:1`; an
//! exponential one's is `scale:0`, `zero:COUNT`, then `+INDEX:COUNT,…` and `-INDEX:COUNT,…` from the first bucket on;
//! both may end in `;sum:S` and `;range:MIN..MAX`. Lines are sorted by name, then labels. Time,
//! start and resource are not shown. Empty lines and lines that begin with `#` are comments.

mod histogram;
mod parse;

use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use crate::data::{Attributes, Batch, Kind, Series, Temporality, Value};
use crate::telemetry::{is_control_or_format, json_escaped};

pub use parse::parse;

/// The points of a request in the notation, aligned, absent rows left out.
#[must_use]
pub fn format(request: &[Batch]) -> String {
    format_styled(request, |_| "")
}

/// The same with escape codes around the values: what `style` gives is written before a value by `{}`, and after it by `{:#}`
/// ([anstyle: `Style`](https://docs.rs/anstyle/1/anstyle/struct.Style.html)).
pub fn format_styled<S: fmt::Display>(request: &[Batch], style: impl Fn(&Value) -> S) -> String {
    let mut lines = Vec::new();
    for batch in request {
        for (series, value) in batch.table().series().iter().zip(batch.values()) {
            if *value != Value::Absent {
                lines.push((
                    series,
                    identity(&series.name, &series.attributes),
                    self::value(value, &series.kind),
                    value,
                ));
            }
        }
    }
    lines.sort_by(|(a, ..), (b, ..)| order(a, b));
    let width =
        |of: &dyn Fn(usize) -> usize, most| (0..lines.len()).map(of).max().unwrap_or(0).min(most);
    let name_width = width(&|i| lines[i].1.chars().count(), 72);
    let value_width = width(&|i| lines[i].2.len(), 20);
    let mut out = String::new();
    for (series, name, text, value) in &lines {
        // A unit does not stand where a kind would.
        let kind = match kind_word(&series.kind) {
            "" if !series.unit.is_empty() => "unknown",
            word => word,
        };
        let (style, unit) = (style(value), unit(&series.unit));
        let _ = write!(
            out,
            "{name:name_width$} {style}{text:>value_width$}{style:#} {kind} {unit}"
        );
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// How lines are sorted: by name, then by labels.
#[must_use]
pub fn order(a: &Series, b: &Series) -> Ordering {
    (&a.name, pairs(&a.attributes)).cmp(&(&b.name, pairs(&b.attributes)))
}

fn pairs(attributes: &Attributes) -> Vec<(&str, String)> {
    attributes
        .iter()
        .map(|(key, value)| (&**key, value.to_string()))
        .collect()
}

/// `NAME{k=v,…}`.
#[must_use]
pub fn identity(name: &str, attributes: &Attributes) -> String {
    let mut out = quoted(name);
    for (index, (key, value)) in attributes.iter().enumerate() {
        let _ = write!(
            out,
            "{}{}={}",
            if index == 0 { '{' } else { ',' },
            quoted(key),
            quoted(&value.to_string())
        );
    }
    if !attributes.is_empty() {
        out.push('}');
    }
    out
}

fn quoted(text: &str) -> String {
    let odd = |c: char| {
        matches!(c, ',' | '=' | '{' | '}' | '"' | '\\')
            || c.is_whitespace()
            || is_control_or_format(c)
    };
    if text.is_empty() || text.starts_with('#') || text.contains(odd) {
        json_string(text)
    } else {
        text.to_owned()
    }
}

/// A unit as it stands in a line, quoted where it has to be. It stands last, and `{exit}` is a unit: only blanks and quotes would
/// be taken amiss.
#[must_use]
pub fn unit(unit: &str) -> String {
    let odd = |c: char| c == '"' || c.is_whitespace() || is_control_or_format(c);
    if unit.contains(odd) {
        json_string(unit)
    } else {
        unit.to_owned()
    }
}

fn json_string(text: &str) -> String {
    json_escaped(&serde_json::Value::from(text).to_string()).into_owned()
}

/// A value as it stands in a line.
#[must_use]
pub fn value(value: &Value, kind: &Kind) -> String {
    match value {
        Value::Absent => "-".into(),
        Value::Ended => "end".into(),
        Value::Int(it) => it.to_string(),
        Value::Double(it) => format!("{it:?}"),
        Value::Histogram(it) => histogram::explicit(it, kind),
        Value::ExponentialHistogram(it) => histogram::exponential(it),
    }
}

/// A kind as it stands in a line; empty where nobody knows it.
#[must_use]
pub fn kind_word(kind: &Kind) -> &'static str {
    let is_delta = kind.temporality() == Some(Temporality::Delta);
    match (kind, is_delta) {
        (Kind::Unknown, _) => "",
        (Kind::Gauge, _) => "gauge",
        (
            Kind::Sum {
                monotonic: true, ..
            },
            false,
        ) => "counter",
        (
            Kind::Sum {
                monotonic: false, ..
            },
            false,
        ) => "updown",
        (
            Kind::Sum {
                monotonic: true, ..
            },
            true,
        ) => "counter:delta",
        (
            Kind::Sum {
                monotonic: false, ..
            },
            true,
        ) => "updown:delta",
        (Kind::Histogram { .. }, false) => "histogram",
        (Kind::Histogram { .. }, true) => "histogram:delta",
        (Kind::ExponentialHistogram { .. }, false) => "exponential",
        (Kind::ExponentialHistogram { .. }, true) => "exponential:delta",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{Series, Table};

    #[test]
    fn what_is_written_reads_back() {
        let text = "kvm/exits{device=/1234-12/vcpu0} 42 counter {exit}\n\
                    kvm/exits{device=\"\",\"odd key\"=\"a=b,c}\"} 1.8446744073709552e19 updown\n\
                    \"n new\\nline\" end gauge By\nplain -7\n\
                    kvm/wait{vcpu=1} 1.0:2,3.0:0,inf:1;sum:7.5;range:0.0..5.0 histogram ns\nkvm/wait{vcpu=2} end histogram\n\
                    kvm/exp scale:-1;zero:3@0.5;+2:1,0;-0:4;sum:1.0 exponential:delta s\nkvm/exp{a=b} end exponential\n";
        let batches = parse(text).unwrap();
        let once = format(&batches);
        assert_eq!(format(&parse(&once).unwrap()), once);
        assert!(
            once.contains(
                "kvm/exits{device=\"\",\"odd key\"=\"a=b,c}\"} 1.8446744073709552e19 updown\n"
            ),
            "{once}"
        );
        for invalid in [
            "a",
            "a{b} 1",
            "a{b=c 1",
            "a x",
            "a 1 thing",
            "a 1 gauge By more",
            "\"a 1",
            "a 1 histogram",
            "a 3.0:1,1.0:2,inf:0 histogram",
            "a 3.0:1 histogram",
            "a scale:1 exponential",
            "a 1 gauge:delta",
        ] {
            assert!(parse(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn names_labels_and_units_of_any_text_are_on_one_line_and_read_back() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut any = move || -> String {
            let odd = [
                "\n", "\r", "\t", "\u{1b}", "\u{7f}", "\u{9b}", "\u{2029}", "\u{202e}", "\u{2066}",
                "\u{61c}", " ", "\"", "\\",
            ];
            let mut part = || {
                if random.bool() {
                    odd[random.usize(..odd.len())].to_owned()
                } else {
                    random.char(..).to_string()
                }
            };
            (0..4).map(|_| part()).collect()
        };
        for _ in 0..20_000 {
            let (name, key, label, unit) = (any(), any(), any(), any());
            let mut series =
                Series::new(&*name, Arc::new([(&*key, &*label)].into_iter().collect()));
            (series.kind, series.unit) = (Kind::Gauge, unit.into());
            let parsed = parse("s 1 gauge").unwrap();
            let table = Table::new(Arc::clone(parsed[0].table().head()), vec![series.clone()]);
            let written = format(&[parsed[0].with_table(table, None)]);
            let line = written.strip_suffix('\n').unwrap();
            assert!(
                !line.contains(is_control_or_format),
                "seed {seed}: {line:?}"
            );
            let again = parse(&written).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            let read = &again[0].table().series()[0];
            assert_eq!(
                (&read.name, &read.attributes),
                (&series.name, &series.attributes),
                "seed {seed}"
            );
            assert_eq!(
                (&read.unit, &read.kind),
                (&series.unit, &series.kind),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_what_parses_is_written_as_it_was_read() {
        const PARTS: [&str; 36] = [
            "a",
            "s/m",
            "{",
            "}",
            "=",
            ",",
            "\"",
            "\\",
            " ",
            "\n",
            "#",
            "-",
            "end",
            "1",
            "-5",
            "1.5",
            "1e3",
            "NaN",
            "counter",
            "gauge",
            "updown:delta",
            "{exit}",
            "histogram",
            "2.0:1,inf:",
            ";sum:",
            "exponential",
            "scale:0;zero:1",
            ";-3:",
            "\"b c\"",
            "ö",
            "\t",
            "\u{85}",
            "\u{202e}",
            "\u{2028}",
            "\u{feff}",
            "\u{e0001}",
        ];
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..100_000 {
            let text: String = (0..random.usize(..14))
                .map(|_| PARTS[random.usize(..PARTS.len())])
                .collect();
            if let Ok(batches) = parse(&text) {
                let written = format(&batches);
                let again =
                    parse(&written).unwrap_or_else(|why| panic!("seed {seed}: {text:?}: {why}"));
                assert_eq!(format(&again), written, "seed {seed}: {text:?}");
            }
        }
    }
}
