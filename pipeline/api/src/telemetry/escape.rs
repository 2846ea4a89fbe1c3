//! Texts from outside, shown on one line: nothing in them ends it, moves the cursor, or turns the direction of reading.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character is none that is seen, but does something: a control character (`Cc`), a format character (`Cf`:
/// bidirectional marks, joiners, tags), a line or paragraph separator (`Zl`, `Zp`)
/// ([Unicode: general categories](https://www.unicode.org/reports/tr44/#General_Category_Values)).
#[must_use]
pub fn is_control_or_format(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(u32::from(c),
        0x80..=0x9F | 0xAD | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2 | 0x180E | 0x200B..=0x200F
        | 0x2028..=0x202E | 0x2060..=0x2064 | 0x2066..=0x206F | 0xFEFF | 0xFFF9..=0xFFFB | 0x110BD | 0x110CD
        | 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0001 | 0xE0020..=0xE007F)
}

/// The text with each of these characters as Rust writes it: `\n`, `\u{202e}`.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, |c, out| out.extend(c.escape_default()))
}

/// A JSON text with each of these characters as JSON writes it: `\u202e`. They are in strings only, if it has one line.
#[must_use]
pub fn json_escaped(json: &str) -> Cow<'_, str> {
    replaced(json, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// The text with U+FFFD in the place of each of these characters.
pub(crate) fn without_controls(text: &str) -> Cow<'_, str> {
    replaced(text, |_, out| out.push(char::REPLACEMENT_CHARACTER))
}

fn replaced(text: &str, replace: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_control_or_format) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_control_or_format(c) {
            replace(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_characters_are_those_of_unicodes_categories() {
        let unicode = regex::Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]").unwrap();
        for c in '\0'..=char::MAX {
            let is_match = unicode.is_match(c.encode_utf8(&mut [0; 4]));
            assert_eq!(is_control_or_format(c), is_match, "{c:?}");
        }
    }

    #[test]
    fn what_is_escaped_is_on_one_line_and_json_reads_it_back() {
        let text = "a\r\nb\u{1b}[2J\u{85}\u{202e}\u{2028}\u{e0001}ö";
        let expected = r"a\r\nb\u{1b}[2J\u{85}\u{202e}\u{2028}\u{e0001}ö";
        assert_eq!(escaped(text), expected);
        assert!(matches!(escaped("plain ö"), Cow::Borrowed(_)));
        let json = serde_json::to_string(text).unwrap();
        let json = json_escaped(&json);
        assert!(!json.contains(is_control_or_format), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
