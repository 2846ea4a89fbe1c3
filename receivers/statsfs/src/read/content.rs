//! What a file has that is no value.

use super::reason::Reason;
use super::value::truth_value;

/// Why a text is no value: what it is instead, or in which other form it would be read.
pub(super) fn content(text: &str) -> Reason {
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
        return word(first);
    };
    let numbers = words.filter(|it| has_number(it)).count();
    match (has_number(first), numbers) {
        (true, 0) if is_number(first) && second.starts_with(is_of_unit) => Reason::Unit,
        (true, 0) | (false, 0 | 1) => Reason::Text,
        _ => Reason::Several,
    }
}

fn word(word: &str) -> Reason {
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
                assert_eq!(content(text), reason, "{text:?}");
            }
        }
    }
}
