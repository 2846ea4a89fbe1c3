//! Lines with one alignment, for so many columns.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::cells::Cell;

/// A point in cells.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// `NAME{k=v,…}`.
    pub(super) name: String,
    pub(super) value: Cell,
    pub(super) rate: Cell,
    pub(super) kind: &'static str,
    pub(super) unit: String,
    /// What else is known of a histogram.
    pub(super) detail: String,
}

/// The blanks between two cells.
const GAP: usize = 2;

/// No unit makes the column of units wider.
const MAX_UNIT: usize = 16;

/// How many columns the cells take, and the terminal.
struct Widths {
    name: usize,
    value: usize,
    rate: usize,
    kind: usize,
    unit: usize,
    columns: usize,
}

/// The rows as lines. No line is longer than the terminal is wide, as far as that can be without cutting anything: a name that has no
/// room beside the values stands on a line of its own before them (as with df), and a histogram's detail on one after them.
pub(super) fn lines(rows: &[Row], columns: usize, is_colored: bool) -> String {
    let widths = Widths::new(rows, columns);
    let mut out = String::new();
    for row in rows {
        row.write(&widths, is_colored, &mut out);
    }
    out
}

impl Widths {
    fn new(rows: &[Row], columns: usize) -> Widths {
        let widest = |cell: fn(&Row) -> &str| {
            let widths = rows.iter().map(|row| cell(row).width());
            widths.max().unwrap_or_default()
        };
        let mut widths = Widths {
            name: widest(|row| &row.name),
            value: widest(|row| &row.value.text),
            rate: widest(|row| &row.rate.text),
            kind: widest(|row| row.kind),
            unit: widest(|row| &row.unit).min(MAX_UNIT),
            columns,
        };
        widths.name = widths
            .name
            .min(columns.saturating_sub(widths.behind_name()));
        widths
    }

    fn behind_name(&self) -> usize {
        let cells = [self.value, self.rate, self.kind, self.unit];
        cells.iter().filter(|it| **it > 0).map(|it| GAP + it).sum()
    }
}

impl Row {
    fn write(&self, widths: &Widths, is_colored: bool, out: &mut String) {
        out.push_str(&self.name);
        let blanks = widths.name.checked_sub(self.name.width());
        let blanks = blanks.unwrap_or_else(|| {
            out.push('\n');
            widths.name
        });
        pad(blanks, out);
        self.value.write(widths.value, is_colored, out);
        self.rate.write(widths.rate, is_colored, out);
        pad(GAP, out);
        out.push_str(self.kind);
        pad(widths.kind - self.kind.len() + GAP, out);
        out.push_str(&self.unit);
        if !self.detail.is_empty() {
            let taken = widths.name + widths.behind_name();
            if taken + GAP + self.detail.len() > widths.columns {
                end_line(out);
                pad(2 * GAP, out);
            } else {
                pad(widths.unit.saturating_sub(self.unit.width()) + GAP, out);
            }
            out.push_str(&self.detail);
        }
        end_line(out);
    }
}

impl Cell {
    /// Right-aligned, zeros dimmed; nothing where the column is empty.
    fn write(&self, width: usize, is_colored: bool, out: &mut String) {
        if width > 0 {
            pad(GAP, out);
            let style = zero_style(self.is_zero && is_colored);
            let _ = write!(out, "{style}{:>width$}{style:#}", self.text);
        }
    }
}

/// How a value is shown that is zero, and is to be coloured.
pub(crate) fn zero_style(is_dimmed: bool) -> Style {
    if is_dimmed {
        Style::new().dimmed()
    } else {
        Style::new()
    }
}

fn pad(blanks: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', blanks));
}

fn end_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, value: &str, kind: &'static str, unit: &str) -> Row {
        let is_zero = value == "0";
        Row {
            name: name.into(),
            value: Cell {
                text: value.into(),
                is_zero,
            },
            kind,
            unit: unit.into(),
            ..Row::default()
        }
    }

    fn rows() -> Vec<Row> {
        let mut rows = vec![
            row("s/a", "0", "gauge", ""),
            row("s/long_name{k=v}", "1,000", "counter", "By"),
        ];
        rows[1].rate.text = "10/s".into();
        rows
    }

    #[test]
    fn values_are_right_aligned_behind_the_longest_name() {
        let expected = "\
s/a                   0        gauge
s/long_name{k=v}  1,000  10/s  counter  By
";
        assert_eq!(lines(&rows(), 80, false), expected);
    }

    #[test]
    fn zeros_alone_are_dimmed_and_no_blank_stands_at_the_end() {
        let mut rows = rows();
        rows[1].rate = Cell {
            text: "0/s".into(),
            is_zero: true,
        };
        let expected = "\
s/a               \u{1b}[2m    0\u{1b}[0m       gauge
s/long_name{k=v}  1,000  \u{1b}[2m0/s\u{1b}[0m  counter  By
";
        assert_eq!(lines(&rows, 80, true), expected);
        assert!(!lines(&rows, 80, false).contains('\u{1b}'));
    }

    #[test]
    fn a_name_without_room_stands_on_a_line_of_its_own_and_nothing_is_cut() {
        let widest = "  1,000  10/s  counter  By".len();
        let expected = "\
s/a       0        gauge
s/long_name{k=v}
      1,000  10/s  counter  By
";
        assert_eq!(lines(&rows(), widest + 4, false), expected);
        let narrow = lines(&rows(), 1, false);
        let lines: Vec<&str> = narrow.lines().collect();
        assert_eq!(lines[0], "s/a");
        assert_eq!(lines[3], "  1,000  10/s  counter  By");
    }

    #[test]
    fn what_else_is_known_stands_behind_or_below() {
        let mut rows = vec![
            row("s/h", "3", "histogram", "ns"),
            row("s/b", "1", "gauge", ""),
        ];
        rows[0].detail = "mean=1.00".into();
        let expected = "s/h  3  histogram  ns  mean=1.00\ns/b  1  gauge\n";
        assert_eq!(lines(&rows, 32, false), expected);
        let expected = "s/h  3  histogram  ns\n    mean=1.00\ns/b  1  gauge\n";
        assert_eq!(lines(&rows, 31, false), expected);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [
            row("s/日本", "1", "gauge", ""),
            row("s/abc", "1", "gauge", ""),
        ];
        assert_eq!(
            lines(&rows, 80, false),
            "s/日本  1  gauge\ns/abc   1  gauge\n"
        );
    }
}
