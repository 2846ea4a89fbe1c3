//! Why a file gives no value.

use super::value::truth_value;

/// Why a file gives no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Empty,
    /// A number such as `1.5` or `1e3`.
    Float,
    /// `0x1f`.
    Hexadecimal,
    /// `Y`, `off`.
    Bool,
    Integer,
    /// `8 Gbit`, `5%`.
    Unit,
    /// `up`.
    Word,
    /// `Package id 0`.
    Text,
    /// No text at all.
    Binary,
    /// `1 2 3`, or several lines.
    Several,
    OutOfRange,
    TooLarge,
    Permission,
    Lockdown,
    Timeout,
    Stuck,
    Descriptors,
    Io,
}

impl Reason {
    /// The reason of the counter.
    pub(crate) fn name(self) -> &'static str {
        self.texts().0
    }

    /// The cause, as a warning names it, with what helps. A `drop` by name helps in all that is about one file: what nothing
    /// downstream wants is not opened.
    pub(crate) fn cause(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Reason::Empty => (
                "empty",
                "empty file passed over (`drop` it by name in `labels`)",
            ),
            Reason::Float => (
                "not_numeric",
                "a floating-point number; passed over (`as: float` in `formats` reads it)",
            ),
            Reason::Hexadecimal => (
                "not_numeric",
                "a hexadecimal number; passed over (`as: hex` in `formats` reads it)",
            ),
            Reason::Bool => (
                "not_numeric",
                "a truth value; passed over (`as: bool` in `formats` reads it)",
            ),
            Reason::Integer => (
                "not_numeric",
                "an integer; passed over (`as: int` in `formats` reads it)",
            ),
            Reason::Unit => (
                "not_numeric",
                "a number with a unit; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Word => (
                "not_numeric",
                "a word; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Text => (
                "not_numeric",
                "a text; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Binary => (
                "not_numeric",
                "binary data; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Several => (
                "multi_value",
                "several values in one file; passed over (`drop` it by name in `labels`)",
            ),
            Reason::OutOfRange => ("out_of_range", "a number beyond 64 bits; passed over"),
            Reason::TooLarge => (
                "too_large",
                "larger than `limits.value_bytes`; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Permission => (
                "permission",
                "permission denied; passed over (`drop` it by name in `labels`)",
            ),
            Reason::Lockdown => (
                "lockdown",
                "hidden by the kernel's lockdown, as all writable files of debugfs; passed over",
            ),
            Reason::Timeout => (
                "timeout",
                "not read before the sweep's `timeout`; passed over",
            ),
            Reason::Stuck => (
                "stuck",
                "does not answer within `timeout`; passed over until it does",
            ),
            Reason::Descriptors => ("descriptors", "no descriptor left to open it; passed over"),
            Reason::Io => (
                "io",
                "cannot be read; passed over (`drop` it by name in `labels`)",
            ),
        }
    }

    /// Why a text is no value: what it is instead, or in which other form it would be read.
    pub(crate) fn of(text: &str) -> Reason {
        if text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()) {
            return Reason::Binary;
        }
        if text.contains('\n') {
            return Reason::Several;
        }
        let words = text.split(|c: char| c.is_whitespace() || c == ',');
        let mut words = words.filter(|it| !it.is_empty());
        let first = words.next().unwrap_or_default();
        let Some(second) = words.clone().next() else {
            return Reason::of_word(first);
        };
        let numbers = words.filter(|it| has_number(it)).count();
        match (has_number(first), numbers) {
            (true, 0) if is_number(first) && second.starts_with(is_of_unit) => Reason::Unit,
            (true, 0) | (false, 0 | 1) => Reason::Text,
            _ => Reason::Several,
        }
    }

    fn of_word(word: &str) -> Reason {
        let is_of_number = |c: char| matches!(c, '0'..='9' | '.' | '+' | '-');
        let end = word.find(|c| !is_of_number(c)).unwrap_or(word.len());
        let (number, unit) = word.split_at(end);
        if word.parse::<i128>().is_ok() {
            Reason::Integer
        } else if is_finite(word) {
            Reason::Float
        } else if is_hexadecimal(word) {
            Reason::Hexadecimal
        } else if truth_value(word).is_some() {
            Reason::Bool
        } else if is_finite(number) && unit.chars().all(is_of_unit) {
            Reason::Unit
        } else if number.is_empty() && word.contains(char::is_alphabetic) {
            Reason::Word
        } else {
            Reason::Text
        }
    }
}

fn is_finite(word: &str) -> bool {
    word.parse().is_ok_and(f64::is_finite)
}

/// With its prefix; or without, where it is as long as a register and can hardly be anything else.
fn is_hexadecimal(word: &str) -> bool {
    let is_all = |it: &str| !it.is_empty() && it.bytes().all(|c| c.is_ascii_hexdigit());
    let bare = || word.len() >= 8 && is_all(word) && word.contains(|c: char| c.is_ascii_digit());
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    digits.map_or_else(bare, is_all)
}

fn is_number(word: &str) -> bool {
    is_finite(word) || is_hexadecimal(word)
}

/// `5`, or `avg10=5`.
fn has_number(word: &str) -> bool {
    is_number(word) || word.split_once('=').is_some_and(|(_, it)| is_number(it))
}

/// What a unit is written of: `kB`, `%`, `Gb/sec`.
fn is_of_unit(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '%' | '/' | '°')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_value_is_called_what_it_is() {
        for (reason, texts) in [
            (Reason::Float, vec!["1.5", "1e3", "-0.5"]),
            (Reason::Hexadecimal, vec!["0x1f", "0010c9a3", "12ab34cd"]),
            (Reason::Bool, vec!["Y", "true", "off", "enabled"]),
            (Reason::Integer, vec!["-5", "2"]),
            (
                Reason::Unit,
                vec![
                    "8 Gbit",
                    "12 kB",
                    "5%",
                    "5 %",
                    "3.4T",
                    "520.0k",
                    "100 Gb/sec (4X EDR)",
                    "-40 °C",
                ],
            ),
            (
                Reason::Word,
                vec!["up", "max", "<unknown>", "N/A", "coretemp", "inf", "nvme0"],
            ),
            (
                Reason::Text,
                vec![
                    "Package id 0",
                    "Core 0",
                    "4: ACTIVE",
                    "[always] madvise never",
                    "hits 5",
                    "8:0",
                    "0-3",
                    "0,2-5",
                    "0000:00:1f.2",
                    "1_000",
                    "-",
                    "--5",
                    "\u{feff}42",
                ],
            ),
            (
                Reason::Several,
                vec![
                    "1 2 3",
                    "1 2",
                    "0,2",
                    "anon 4096\nfile 8192",
                    "a\nb",
                    "some avg10=0.00 avg60=0.00 total=12",
                    "5 N0=3",
                    "0x1 0x2",
                ],
            ),
            (Reason::Binary, vec!["4\u{0}2", "\u{1b}[0m"]),
        ] {
            for text in texts {
                assert_eq!(Reason::of(text), reason, "{text:?}");
            }
        }
    }
}
