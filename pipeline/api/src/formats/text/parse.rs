//! From the notation to batches.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::CharIndices;
use std::sync::Arc;
use std::time::Duration;

use super::histogram;
use crate::data::{
    Attributes, Batch, Bounds, Head, Kind, Scope, Series, Source, SourceDirectory, SourceFile,
    Sweep, Table, Temporality, Times, Value,
};

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
        let slot = Arc::from(format!("text/{subsystem}/0"));
        let head = Head::new(
            Arc::default(),
            Arc::new(Scope::default()),
            subsystem.into(),
            slot,
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
