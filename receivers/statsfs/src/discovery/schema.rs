//! `.schema`: what a directory declares of its labels and metrics. A bad line costs that line, a bad entry that entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::{Declared, Kind};

use crate::config::ValueFormat;

/// What a `.schema` says.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// The labels, where there is a LABEL section: exactly these, then.
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// By the file's name.
    pub(crate) metrics: BTreeMap<String, MetricEntry>,
    /// Lines and entries that are ignored: the number of the line, and why; the first ones.
    pub(crate) problems: Vec<(usize, String)>,
    /// How many more are ignored.
    pub(crate) further_problems: u64,
}

/// What the labels of a `.schema` may take; further ones are ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaLimits {
    /// Their number.
    pub(crate) labels: usize,
    /// Their names and values, all together.
    pub(crate) label_bytes: usize,
}

/// What it says of one metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricEntry {
    pub(crate) declared: Arc<Declared>,
    /// How the file is read, where TYPE says so.
    pub(crate) format: Option<ValueFormat>,
    /// The line where it begins.
    pub(crate) line: usize,
}

/// How many problems are kept; the others are counted.
const MAX_PROBLEMS: usize = 8;

/// How much of a text is quoted when it is not understood, in characters.
const MAX_QUOTED: usize = 64;

/// The maximum length of a description.
const MAX_DESCRIPTION_BYTES: usize = 1024;

/// The maximum length of a unit
/// ([OpenTelemetry: instrument unit](https://opentelemetry.io/docs/specs/otel/metrics/api/#instrument-unit)).
const MAX_UNIT_BYTES: usize = 63;

enum Section {
    Outside,
    Label,
    Metric(MetricDraft),
}

#[derive(Default)]
struct MetricDraft {
    line: usize,
    name: Option<String>,
    flag: Option<Kind>,
    typed: bool,
    format: Option<ValueFormat>,
    declared: Declared,
}

/// Reads a `.schema`. Sections end at an empty line; lines outside of one are ignored.
pub(crate) fn parse(text: &str, limits: &SchemaLimits) -> Schema {
    let mut schema = Schema::default();
    let mut label_bytes = 0;
    let mut section = Section::Outside;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_ascii();
        let (word, rest) = line
            .split_once([' ', '\t'])
            .map_or((line, ""), |(word, rest)| (word, rest.trim_ascii()));
        if word.is_empty() {
            schema.finish_section(std::mem::replace(&mut section, Section::Outside));
            continue;
        }
        // A section may begin without an empty line after the one before.
        if rest.is_empty() && matches!(word, "LABEL" | "METRIC") {
            schema.finish_section(std::mem::replace(&mut section, Section::Outside));
        }
        let problem = match &mut section {
            Section::Outside => {
                section = match word {
                    "LABEL" => {
                        schema.labels.get_or_insert_default();
                        Section::Label
                    }
                    "METRIC" => Section::Metric(MetricDraft {
                        line: number,
                        ..MetricDraft::default()
                    }),
                    _ => Section::Outside,
                };
                continue;
            }
            Section::Label => {
                let labels = schema.labels.get_or_insert_default();
                let before = labels.get(word).map(|value| word.len() + value.len());
                let size = label_bytes - before.unwrap_or_default() + word.len() + rest.len();
                if rest.is_empty() {
                    Some(format!("the label {} has no value", quoted(word)))
                } else if before.is_none() && labels.len() >= limits.labels {
                    Some("more labels than `limits.labels`".to_owned())
                } else if size > limits.label_bytes {
                    Some("labels that are larger than `limits.label_bytes`".to_owned())
                } else {
                    label_bytes = size;
                    labels.insert(word.to_owned(), rest.to_owned());
                    None
                }
            }
            Section::Metric(draft) => draft.set_field(word, rest),
        };
        if let Some(why) = problem {
            schema.add_problem(number, why);
        }
    }
    schema.finish_section(section);
    let is_empty = schema.labels.is_none() && schema.metrics.is_empty();
    if is_empty && schema.problems.is_empty() && !text.trim_ascii().is_empty() {
        schema.add_problem(1, "no LABEL and no METRIC section".into());
    }
    schema
}

impl MetricDraft {
    /// Sets one field; returns what is wrong with it.
    fn set_field(&mut self, word: &str, rest: &str) -> Option<String> {
        match (word, rest) {
            ("NAME", name) if is_file_name(name) => self.name = Some(name.to_owned()),
            ("NAME", name) => return Some(format!("{} is no file's name", quoted(name))),
            ("FLAG", "CUMULATIVE") => self.flag = Some(Kind::COUNTER),
            ("FLAG", "GAUGE" | "FLOATING") => self.flag = Some(Kind::Gauge),
            ("FLAG", "UPDOWN") => self.flag = Some(Kind::UP_DOWN_COUNTER),
            ("TYPE", "INT") => self.typed = true,
            ("TYPE", "FLOAT") => (self.typed, self.format) = (true, Some(ValueFormat::Float)),
            ("TYPE", "BOOL") => (self.typed, self.format) = (true, Some(ValueFormat::Bool)),
            ("DESC", "" | "(null)") => {}
            ("DESC", text) if text.len() > MAX_DESCRIPTION_BYTES => {
                return Some(format!("DESC of more than {MAX_DESCRIPTION_BYTES} bytes"));
            }
            ("UNIT", unit) if unit.len() > MAX_UNIT_BYTES => {
                return Some(format!("UNIT of more than {MAX_UNIT_BYTES} bytes"));
            }
            ("DESC", text) => self.declared.description = Some(text.into()),
            ("UNIT", unit) => self.declared.unit = Some(unit.into()),
            ("AGGR", "NONE") => self.declared.aggregate = Some(false),
            ("AGGR", "SUM" | "MIN" | "MAX" | "COUNT_ZERO" | "AVG") => {
                self.declared.aggregate = Some(true);
            }
            ("FLAG", _) => {
                return Some(unknown(word, rest, "CUMULATIVE, GAUGE, FLOATING or UPDOWN"));
            }
            ("TYPE", _) => return Some(unknown(word, rest, "INT, FLOAT or BOOL")),
            ("AGGR", _) => {
                return Some(unknown(
                    word,
                    rest,
                    "NONE, SUM, MIN, MAX, COUNT_ZERO or AVG",
                ));
            }
            _ => return Some(format!("unknown keyword {}", quoted(word))),
        }
        None
    }
}

fn unknown(word: &str, found: &str, allowed: &str) -> String {
    format!("{word} {} is not {allowed}", quoted(found))
}

/// A text of the file as a message shows it.
fn quoted(text: &str) -> String {
    let cut = text.char_indices().nth(MAX_QUOTED);
    match cut {
        Some((at, _)) => format!("`{}…`", &text[..at]),
        None => format!("`{text}`"),
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.len() <= 255
        && !name.contains(['/', '\0'])
}

impl Schema {
    fn add_problem(&mut self, line: usize, why: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push((line, why));
        } else {
            self.further_problems += 1;
        }
    }

    fn finish_section(&mut self, section: Section) {
        let Section::Metric(draft) = section else {
            return;
        };
        let line = draft.line;
        let Some(name) = draft.name else {
            return self.add_problem(line, "an entry without a NAME".into());
        };
        let (format, shown) = (draft.format, quoted(&name));
        let lacks = if draft.flag.is_none() { "FLAG" } else { "TYPE" };
        let Some(flag) = draft.flag.filter(|_| draft.typed) else {
            let why = format!("{shown} has no {lacks}; it counts as undeclared");
            return self.add_problem(line, why);
        };
        if self.metrics.contains_key(&name) {
            let why = format!("{shown} is declared twice; the first declaration holds");
            return self.add_problem(line, why);
        }
        let mut declared = draft.declared;
        declared.kind = Some(flag);
        self.metrics.insert(
            name,
            MetricEntry {
                declared: Arc::new(declared),
                format,
                line,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SchemaLimits = SchemaLimits {
        labels: 32,
        label_bytes: 4096,
    };

    fn parse(text: &str) -> Schema {
        super::parse(text, &LIMITS)
    }

    #[test]
    fn a_bad_line_costs_that_line() {
        let schema = parse(
            "VERSION 2\n\nLABEL x\nvm 1-2 \nmodel Acme NIC\nalone\n\nMETRIC \r\nNAME a \r\nFLAG GAUGE\r\nTYPE FLOAT\r\nWHAT x\r\nUNIT By\r\nDESC Z\u{e4}hler  x\r\n\r\nLABEL\nvm 3-4",
        );
        assert_eq!(
            schema.labels.unwrap(),
            BTreeMap::from([
                ("vm".into(), "3-4".into()),
                ("model".into(), "Acme NIC".into())
            ])
        );
        let entry = &schema.metrics["a"];
        assert_eq!(
            (entry.declared.kind.clone(), entry.format),
            (Some(Kind::Gauge), Some(ValueFormat::Float))
        );
        assert_eq!(entry.declared.unit.as_deref(), Some("By"));
        assert_eq!(
            entry.declared.description.as_deref(),
            Some("Z\u{e4}hler  x")
        );
        assert_eq!(
            schema
                .problems
                .iter()
                .map(|(line, _)| *line)
                .collect::<Vec<_>>(),
            [6, 12]
        );
    }

    #[test]
    fn an_entry_that_lacks_something_is_no_declaration() {
        for text in [
            "METRIC\nNAME a\nTYPE INT",
            "METRIC\nNAME a\nFLAG GAUGE",
            "METRIC\nNAME a\nFLAG CUM",
            "METRIC\nFLAG GAUGE\nTYPE INT",
            "METRIC\nNAME ../x\nFLAG GAUGE\nTYPE INT",
        ] {
            let schema = parse(text);
            assert!(
                schema.metrics.is_empty() && !schema.problems.is_empty(),
                "{text}"
            );
        }
        assert_eq!(
            parse("METRIC\nNAME a\nFLAG GAUGE\nTYPE INT\nDESC (null)").metrics["a"]
                .declared
                .description,
            None
        );
    }

    #[test]
    fn no_text_makes_it_panic_and_what_it_declares_are_file_names() {
        const WORDS: [&str; 24] = [
            "LABEL",
            "METRIC",
            "NAME",
            "FLAG",
            "TYPE",
            "DESC",
            "UNIT",
            "AGGR",
            "CUMULATIVE",
            "GAUGE",
            "INT",
            "FLOAT",
            "SUM",
            "\n",
            "\n\n",
            " ",
            "\t",
            "\r\n",
            "/",
            "..",
            "a",
            "ö",
            "\0",
            "k v",
        ];
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..50_000 {
            let text: String = (0..random.usize(..40))
                .map(|_| WORDS[random.usize(..WORDS.len())])
                .collect();
            let schema = parse(&text);
            assert!(
                schema.metrics.keys().all(|name| is_file_name(name)),
                "seed {seed}: {text:?}"
            );
            assert!(
                schema
                    .labels
                    .is_none_or(|labels| labels.len() <= LIMITS.labels),
                "seed {seed}: {text:?}"
            );
        }
    }

    #[test]
    fn what_it_costs_to_keep_is_bounded() {
        let labels = |count: usize, length: usize| {
            let line = |number| format!("l{number:03} {}\n", "v".repeat(length));
            let text: String = (0..count).map(line).collect();
            parse(&format!("LABEL\n{text}"))
        };
        let kept = |schema: &Schema| schema.labels.as_ref().unwrap().len();
        assert_eq!(kept(&labels(32, 10)), 32);
        let many = labels(100_000, 1);
        assert_eq!(kept(&many), 32);
        assert_eq!((many.problems.len(), many.further_problems), (8, 99_960));
        assert_eq!(kept(&labels(1, 4092)), 1, "just as large as all may be");
        assert_eq!(kept(&labels(1, 4093)), 0);
        assert_eq!(kept(&labels(30, 500)), 8, "all of them together");
        let again = parse(&format!("LABEL\n{}", "a 1\n".repeat(10_000)));
        assert!(again.problems.is_empty(), "the last value counts");
        let long = "x".repeat(100_000);
        let entry = |line: &str| parse(&format!("METRIC\nNAME a\nFLAG GAUGE\nTYPE INT\n{line}"));
        for line in ["DESC ", "UNIT ", "NAME ", "AGGR ", ""] {
            let schema = entry(&format!("{line}{long}"));
            assert!(schema.problems[0].1.len() < 400, "{line}");
            assert_eq!(schema.metrics["a"].declared.description, None);
        }
    }
}
