//! The notation: `NAME{k=v,…} VALUE [KIND [UNIT]]`, one point a line. It parses back.
//!
//! A name, key or value that is empty, begins with `#` or has one of `,={}"\`, a blank or a control character is a
//! JSON string. Doubles carry `.` or `e`; absent is `-`, ended is `end`; a kind that nobody knows is left out, or
//! `unknown` where a unit follows. A histogram's value is what it counted up to each bound, `1.0:2,3.0:0,inf:1`; an
//! exponential one's is `scale:0`, `zero:COUNT`, then `+INDEX:COUNT,…` and `-INDEX:COUNT,…` from the first bucket on;
//! both may end in `;sum:S` and `;range:MIN..MAX`. Lines are sorted by name, then labels. Time,
//! start and resource are not shown. Empty lines and lines that begin with `#` are comments.

mod histogram;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::CharIndices;
use std::sync::Arc;
use std::time::Duration;

use crate::attributes::Attributes;
use crate::batch::{Batch, Sweep, Times, Value};
use crate::table::{
    Bounds, Head, Kind, Scope, Series, Source, SourceDirectory, SourceFile, Table, Temporality,
};

/// The points of a request in the notation, aligned for a terminal: absent rows left out.
#[must_use]
pub fn format(request: &[Batch]) -> String {
    let mut lines = Vec::new();
    for batch in request {
        for (series, value) in batch.table().series().iter().zip(batch.values()) {
            if *value != Value::Absent {
                lines.push((
                    series,
                    identity(&series.name, &series.attributes),
                    self::value(value, &series.kind),
                ));
            }
        }
    }
    lines.sort_by(|(a, ..), (b, ..)| {
        (&a.name, pairs(&a.attributes)).cmp(&(&b.name, pairs(&b.attributes)))
    });
    let width =
        |of: &dyn Fn(usize) -> usize, most| (0..lines.len()).map(of).max().unwrap_or(0).min(most);
    let name_width = width(&|i| lines[i].1.chars().count(), 72);
    let value_width = width(&|i| lines[i].2.len(), 20);
    let mut out = String::new();
    for (series, name, value) in &lines {
        // A unit does not stand where a kind would.
        let kind = match kind_word(&series.kind) {
            "" if !series.unit.is_empty() => "unknown",
            word => word,
        };
        let line = format!(
            "{name:name_width$} {value:>value_width$} {kind} {}",
            quoted_unit(&series.unit)
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
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
        matches!(c, ',' | '=' | '{' | '}' | '"' | '\\') || c.is_whitespace() || c.is_control()
    };
    if text.is_empty() || text.starts_with('#') || text.contains(odd) {
        serde_json::Value::from(text).to_string()
    } else {
        text.to_owned()
    }
}

/// A unit stands last in its line, and `{exit}` is a unit: only blanks and quotes would be taken amiss.
fn quoted_unit(unit: &str) -> String {
    let odd = unit.contains(|c: char| c == '"' || c.is_whitespace() || c.is_control());
    if odd {
        serde_json::Value::from(unit).to_string()
    } else {
        unit.to_owned()
    }
}

fn value(value: &Value, kind: &Kind) -> String {
    match value {
        Value::Absent => "-".into(),
        Value::Ended => "end".into(),
        Value::Int(it) => it.to_string(),
        Value::Double(it) => format!("{it:?}"),
        Value::Histogram(it) => histogram::explicit(it, kind),
        Value::Exponential(it) => histogram::exponential(it),
    }
}

fn kind_word(kind: &Kind) -> &'static str {
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

/// The value and the kind that these words stand for.
fn point(value: &str, kind: Option<&str>) -> Result<(Value, Kind), String> {
    let no_value = || format!("`{value}` is no value");
    let (word, temporality) = match kind.map(|kind| (kind, kind.strip_suffix(":delta"))) {
        Some((_, Some(word))) => (word, Temporality::Delta),
        Some((word, None)) => (word, Temporality::Cumulative),
        None => ("unknown", Temporality::Cumulative),
    };
    let sum = |monotonic| Kind::Sum {
        monotonic,
        temporality,
    };
    let number = |kind: Kind| {
        let value = match value {
            "-" => Value::Absent,
            "end" => Value::Ended,
            text => match text.parse() {
                Ok(int) => Value::Int(int),
                Err(_) => Value::Double(text.parse().map_err(|_| no_value())?),
            },
        };
        Ok((value, kind))
    };
    match (word, temporality) {
        ("unknown", Temporality::Cumulative) => number(Kind::Unknown),
        ("gauge", Temporality::Cumulative) => number(Kind::Gauge),
        ("counter", _) => number(sum(true)),
        ("updown", _) => number(sum(false)),
        ("histogram", _) => {
            let (value, bounds) = histogram::parse_explicit(value).ok_or_else(no_value)?;
            let bounds = Arc::new(Bounds(bounds));
            Ok((
                value,
                Kind::Histogram {
                    temporality,
                    bounds,
                },
            ))
        }
        ("exponential", _) => {
            let value = histogram::parse_exponential(value).ok_or_else(no_value)?;
            Ok((value, Kind::ExponentialHistogram { temporality }))
        }
        _ => Err(format!("`{}` is no kind", kind.unwrap_or_default())),
    }
}

/// Batches of these points: one a subsystem (the name's first part), all of one sweep at time 1 s, started at 0.
///
/// # Errors
/// The number of the first line that is none, and why.
pub fn parse(text: &str) -> Result<Vec<Batch>, String> {
    let mut subsystems: BTreeMap<String, (Vec<Series>, Vec<Value>)> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let (series, value) = Line::new(line)
            .point()
            .map_err(|why| format!("line {}: {why}: {line}", number + 1))?;
        let subsystem = series.name.split('/').next().unwrap_or_default().to_owned();
        let (all, values) = subsystems.entry(subsystem).or_default();
        all.push(series);
        values.push(value);
    }
    let batches = subsystems.into_iter().map(|(subsystem, (series, values))| {
        let place = Arc::from(format!("text/{subsystem}/0"));
        let head = Head::new(
            Arc::default(),
            Arc::new(Scope::default()),
            subsystem.into(),
            place,
        );
        let starts = series.iter().map(|_| 0).collect();
        let sweep = Sweep::new(0, Duration::from_secs(10), true);
        Batch::new(
            Table::new(Arc::new(head), series),
            starts,
            Times::One(1_000_000_000),
            values,
            sweep,
        )
    });
    Ok(batches.collect())
}

struct Line<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl<'a> Line<'a> {
    fn new(text: &'a str) -> Line<'a> {
        Line {
            text,
            chars: text.char_indices().peekable(),
        }
    }

    fn point(&mut self) -> Result<(Series, Value), String> {
        let name = self.word(|c| c == '{' || c.is_whitespace())?;
        let mut attributes = Attributes::default();
        if self.eat('{') {
            while !self.eat('}') {
                let key = self.word(|c| c == '=')?;
                if !self.eat('=') {
                    return Err("`=` is missing after a label's name".into());
                }
                let value = self.word(|c| c == ',' || c == '}')?;
                attributes.set(key, value);
                if !self.eat(',') && !matches!(self.chars.peek(), Some((_, '}'))) {
                    return Err("`}` is missing after the labels".into());
                }
            }
        }
        let value = self.field()?.unwrap_or_default();
        let (value, kind) = point(&value, self.field()?.as_deref())?;
        let unit = self.field()?.unwrap_or_default();
        if self.field()?.is_some() {
            return Err("there is more after the unit".into());
        }
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        let device = attributes
            .get("device")
            .map(ToString::to_string)
            .unwrap_or_default();
        let file = name.rsplit('/').next().unwrap_or_default();
        let directory = SourceDirectory::new(format!("{directory}{device}"), "");
        let source = Source::new(Arc::new(directory), Arc::new(SourceFile::new(file)));
        let mut series = Series::new(name, Arc::new(attributes));
        (series.kind, series.unit, series.source) = (kind, unit.into(), Some(source));
        Ok((series, value))
    }

    /// The next field of the line, if there is one.
    fn field(&mut self) -> Result<Option<String>, String> {
        while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        if self.chars.peek().is_none() {
            return Ok(None);
        }
        let word = self.word(char::is_whitespace)?;
        match self.chars.peek() {
            Some((_, c)) if !c.is_whitespace() => Err("a blank is missing after a quote".into()),
            _ => Ok(Some(word)),
        }
    }

    fn word(&mut self, ends: impl Fn(char) -> bool) -> Result<String, String> {
        let start = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        if self.text[start..].starts_with('"') {
            let mut json =
                serde_json::Deserializer::from_str(&self.text[start..]).into_iter::<String>();
            let word = json
                .next()
                .and_then(Result::ok)
                .ok_or("a quote does not end")?;
            let end = start + json.byte_offset();
            while self.chars.next_if(|(at, _)| *at < end).is_some() {}
            return Ok(word);
        }
        while self.chars.next_if(|(_, c)| !ends(*c)).is_some() {}
        let end = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        Ok(self.text[start..end].to_owned())
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for wrong in [
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
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_what_parses_is_written_as_it_was_read() {
        const PARTS: [&str; 32] = [
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
