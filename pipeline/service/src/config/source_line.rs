//! The line of the configuration that a mistake is in, as it is shown.

use std::ops::Range;

use pipeline::telemetry::escaped;

/// A line, and what of it is marked.
pub(super) struct SourceLine {
    pub(super) text: String,
    /// In bytes.
    pub(super) mark: Range<usize>,
    /// From 1.
    pub(super) number: usize,
}

impl SourceLine {
    /// The line where the span begins. A mark covers whole characters; a value of several lines is marked on its first one,
    /// which is all that is shown: with the whole text each of many mistakes would take the longer.
    pub(super) fn new(source: &str, span: &Range<usize>) -> SourceLine {
        let start = source.floor_char_boundary(span.start);
        let (line, number) = line_of(source, start);
        let end_of_line = source[start..].find('\n').map(|at| start + at);
        let line_end = end_of_line.unwrap_or(source.len());
        let end = source.ceil_char_boundary(span.end.clamp(start, line_end));
        let whole = without_credentials(&source[line..line_end]);
        let shown = |part: Range<usize>| shown(&whole[part.start - line..part.end - line]);
        let (before, marked) = (shown(line..start), shown(start..end));
        let mark = before.len()..before.len() + marked.len();
        let text = before + &marked + shown(end..line_end).trim_end_matches(r"\r");
        SourceLine { text, mark, number }
    }
}

/// Where the line begins that has this character, and its number, from 1.
pub(super) fn line_of(text: &str, at: usize) -> (usize, usize) {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    (start, 1 + text[..start].matches('\n').count())
}

/// As it may be printed; a tab is shown as blanks by whoever prints it.
fn shown(part: &str) -> String {
    let parts: Vec<_> = part.split('\t').map(escaped).collect();
    parts.join("\t")
}

/// The line with as many asterisks in the place of what stands before the host in an address, `user:password@`.
fn without_credentials(line: &str) -> String {
    let mut out = line.to_owned();
    for (at, _) in line.match_indices('@') {
        let before = &line[..at];
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '{' | '[');
        let word = before.rfind(is_end).map_or(0, |end| end + 1);
        let word = before.ceil_char_boundary(word);
        let scheme = before[word..].rfind("://").map(|end| word + end + 3);
        let start = scheme.or_else(|| before[word..].contains(':').then_some(word));
        if let Some(start) = start {
            out.replace_range(start..at, &"*".repeat(at - start));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_password_are_not_shown() {
        for (line, expected) in [
            (
                "endpoint: http://u:päss@h:1",
                "endpoint: http://*******@h:1",
            ),
            (
                "{endpoint: 'u:p@h:1', a: b@c}",
                "{endpoint: '***@h:1', a: b@c}",
            ),
            ("https://token@h", "https://*****@h"),
            ("name: a@b.c", "name: a@b.c"),
        ] {
            assert_eq!(without_credentials(line), expected);
        }
    }

    #[test]
    fn what_is_not_seen_is_escaped_and_the_mark_stays_where_it_was() {
        let text = "first\n\u{202e}key: \u{1b}[2Jvalue\r\nlast";
        let start = text.find('\u{1b}').unwrap();
        let line = SourceLine::new(text, &(start..start + 9));
        assert_eq!(
            (line.text.as_str(), line.number),
            (r"\u{202e}key: \u{1b}[2Jvalue", 2)
        );
        assert_eq!(&line.text[line.mark], r"\u{1b}[2Jvalue");
    }
}
