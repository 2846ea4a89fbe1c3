//! The list as a table, for a terminal: by receiver, sorted by source.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::mem::take;

use pipeline::Attributes;
use pipeline::telemetry::escaped;

use super::list::Writer;
use super::record::{Record, State};

/// So many lines are held, to be sorted and for the widths of their columns; what comes after them is sorted apart.
const HELD: usize = 8192;

/// A wider cell stands out of its column.
const WIDEST: usize = 72;

const HEADER: [&str; COLUMNS] = [
    "SOURCE",
    "METRIC",
    "KIND",
    "FROM",
    "UNIT",
    "FROM",
    "EVERY",
    "EXPORTERS",
    "VALUE",
    "VIA",
];
const COLUMNS: usize = 10;

/// A table of what is listed.
pub(crate) struct Table<W> {
    out: W,
    held: Vec<Line>,
    /// Those of the lines that were held first.
    widths: Option<[usize; COLUMNS]>,
    /// Of the last line that was written.
    receiver: String,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    receiver: String,
    cells: [String; COLUMNS],
    /// Why there is no value, in the place of the cells that are empty.
    why: String,
}

impl<W: Write> Table<W> {
    pub(crate) fn new(out: W) -> Table<W> {
        Table {
            out,
            held: Vec::new(),
            widths: None,
            receiver: String::new(),
        }
    }

    fn write_held(&mut self) -> io::Result<()> {
        let mut held = take(&mut self.held);
        held.sort_unstable();
        let widths = *self.widths.get_or_insert_with(|| widths(&held));
        for line in held {
            if line.receiver != self.receiver {
                let header = HEADER.map(String::from);
                let header = line_of(&header, "", &widths);
                writeln!(self.out, "\n{}\n{header}", escaped(&line.receiver))?;
                self.receiver = line.receiver;
            }
            writeln!(self.out, "{}", line_of(&line.cells, &line.why, &widths))?;
        }
        Ok(())
    }
}

impl<W: Write> Writer for Table<W> {
    fn resource(&mut self, resource: &Attributes) -> io::Result<()> {
        writeln!(self.out, "resource")?;
        for (key, value) in resource.iter() {
            let line = format!("  {key}={value}");
            writeln!(self.out, "{}", escaped(&line))?;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.held.push(line(record));
        if self.held.len() >= HELD {
            self.write_held()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write_held()?;
        self.out.flush()
    }
}

/// The widest cell of each column, but for those that stand out.
fn widths(lines: &[Line]) -> [usize; COLUMNS] {
    let mut widths = HEADER.map(str::len);
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(&line.cells) {
            *width = (*width).max(cell.chars().count().min(WIDEST));
        }
    }
    widths
}

/// The cells, aligned, up to the last one that says something; then `why`.
fn line_of(cells: &[String; COLUMNS], why: &str, widths: &[usize; COLUMNS]) -> String {
    let mut text = String::new();
    let last = cells.iter().rposition(|cell| !cell.is_empty());
    for (cell, width) in cells
        .iter()
        .zip(widths)
        .take(last.map_or(0, |last| last + 1))
    {
        let cell = if cell.is_empty() { "-" } else { cell };
        let _ = write!(text, "{cell:<width$}  ");
    }
    text.push_str(why);
    text.trim_end().to_owned()
}

fn line(record: &Record<'_>) -> Line {
    let text = |text: Option<&str>| escaped(text.unwrap_or_default()).into_owned();
    let mut cells: [String; COLUMNS] = Default::default();
    cells[0] = text(Some(&record.source));
    if matches!(record.state, State::Read | State::Failed) {
        cells[1] = text(record.identity.as_deref());
        cells[2] = text(record.kind);
        cells[3] = text(record.kind_from.as_deref());
        cells[4] = text(record.unit.as_deref());
        cells[5] = text(record.unit_from.as_deref());
        (cells[6], cells[7]) = exporters(record);
        cells[8] = record.value.as_ref().map_or(String::new(), |value| {
            let value = value.as_str().map_or(value.to_string(), String::from);
            text(Some(&value))
        });
        cells[9] = text(record.via);
    }
    Line {
        receiver: record.receiver.to_string(),
        cells,
        why: escaped(&why(record)).into_owned(),
    }
}

/// How often it goes out, and where to; with each exporter where that is not the same everywhere.
fn exporters(record: &Record<'_>) -> (String, String) {
    let exporters: Vec<_> = record.exporters.iter().flatten().collect();
    let intervals: BTreeSet<&String> = exporters.iter().map(|(_, every)| *every).collect();
    let names = exporters.iter().map(|(id, every)| match intervals.len() {
        1 => (*id).clone(),
        _ => format!("{id} {every}"),
    });
    let names: Vec<String> = names.collect();
    let intervals: Vec<&str> = intervals.into_iter().map(String::as_str).collect();
    (intervals.join(", "), names.join(", "))
}

/// Why it does not go out, in words.
fn why(record: &Record<'_>) -> String {
    let of = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let (reason, detail) = (of(record.reason), of(record.detail.as_deref()));
    match record.state {
        State::Read => detail,
        State::Failed => format!("no value: {reason}: {detail}"),
        State::Dropped => {
            let (pipeline, component) = (of(record.pipeline), of(record.component.as_deref()));
            format!("not sent by {pipeline}: {component}: {detail}")
        }
        State::LeftOut => format!("not read: {reason}: {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use pipeline::LeftOut;

    use super::*;

    #[test]
    fn names_that_would_move_the_cursor_are_escaped_and_sources_sorted() {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out);
        for source in ["s/b\u{1b}[2J", "s/a"] {
            let left_out = LeftOut::new(source, "layout", Cow::Borrowed("why"));
            table.record(&Record::left_out("r", &left_out)).unwrap();
        }
        table.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "r");
        assert!(lines[2].starts_with("SOURCE"), "{text}");
        assert!(lines[3].starts_with("s/a ") && lines[3].ends_with("not read: layout: why"));
        assert!(lines[4].starts_with("s/b\\u{1b}[2J"), "{text}");
    }
}
