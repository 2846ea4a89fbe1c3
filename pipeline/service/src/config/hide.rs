//! What `${env:…}` and `${file:…}` gave is in no message: where it stands in one, the reference is shown in its stead.

use super::diagnostic::Diagnostic;

/// What a reference in the configuration gave.
#[derive(Debug)]
pub(crate) struct Substituted {
    /// The path of the value that it stands in.
    path: Vec<String>,
    /// As it is written: `${env:NAME}`.
    reference: String,
    value: String,
    /// The value and its lines, each also as Rust writes it in quotes.
    forms: Vec<String>,
}

/// Values shorter than this are hidden as whole words only, and only in what is said of their own key: `1` stands in many
/// a message by chance.
const SHORT: usize = 4;

/// So many characters in a row do not stand in a value and in a message by chance.
const RUN: usize = 12;

/// Hides all values in all messages.
pub(crate) fn hide(diagnostics: &mut [Diagnostic], values: &[Substituted]) {
    if values.is_empty() {
        return;
    }
    for Diagnostic {
        message,
        help,
        path,
        ..
    } in diagnostics
    {
        for text in std::iter::once(message).chain(help) {
            *text = hidden(text, path, values);
        }
    }
}

/// The text about this path without the values.
fn hidden(text: &str, path: &[String], values: &[Substituted]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        // What is a reference already says nothing.
        let reference = rest.strip_prefix("${").and_then(|inner| inner.find('}'));
        let found = values.iter().filter_map(|it| {
            let length = it.find_at(text, at, path)?;
            Some((length, it.reference.as_str()))
        });
        let (length, shown) = match reference {
            Some(end) => (end + 3, &rest[..end + 3]),
            None => found
                .max_by_key(|(length, _)| *length)
                .unwrap_or((c.len_utf8(), &rest[..c.len_utf8()])),
        };
        out.push_str(shown);
        at += length;
    }
    out
}

impl Substituted {
    pub(super) fn new(path: &[String], reference: String, value: String) -> Substituted {
        let lines = value.lines().map(str::trim);
        let whole = std::iter::once(&*value).filter(|it| !it.is_empty());
        let forms = whole.chain(lines.filter(|line| !is_short(line)));
        let forms = forms.flat_map(|form| [form.to_owned(), form.escape_debug().to_string()]);
        Substituted {
            path: path.to_vec(),
            reference,
            forms: forms.collect(),
            value,
        }
    }

    /// How much of the text from there on is the value, one of its lines, or a part of it that is quoted or long.
    fn find_at(&self, text: &str, at: usize, path: &[String]) -> Option<usize> {
        let rest = &text[at..];
        let is_about = path.starts_with(&self.path) || self.path.starts_with(path);
        let is_hidden = |form: &&String| {
            rest.starts_with(form.as_str())
                && (!is_short(form) || (is_about && is_word(text, at, form.len())))
        };
        let forms = self.forms.iter().filter(is_hidden);
        let quoted = || is_about.then(|| self.quoted_at(text, at))?;
        let found = forms.map(String::len).max().or_else(quoted);
        found.or_else(|| self.run_at(rest))
    }

    /// A part of the value between backticks.
    fn quoted_at(&self, text: &str, at: usize) -> Option<usize> {
        let end = text[..at].ends_with('`').then(|| text[at..].find('`'))??;
        let is_part = end > 0 && self.value.contains(&text[at..at + end]);
        is_part.then_some(end)
    }

    /// A long part of the value.
    fn run_at(&self, rest: &str) -> Option<usize> {
        let mut ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
        let first = ends.nth(RUN - 1)?;
        let is_part = |end: &usize| self.value.contains(&rest[..*end]);
        let longer = ends.take_while(is_part).last();
        is_part(&first).then(|| longer.unwrap_or(first))
    }
}

fn is_short(form: &str) -> bool {
    form.chars().count() < SHORT
}

/// Whether this part of a text is no part of a longer word.
fn is_word(text: &str, at: usize, length: usize) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + length..].chars().next();
    ![before, after]
        .into_iter()
        .flatten()
        .any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str, text: &str) -> String {
        let path = ["exporters", "x", "key"].map(String::from);
        let value = Substituted::new(&path, "${env:X}".into(), value.into());
        hidden(text, &path, &[value])
    }

    #[test]
    fn a_value_is_hidden_whole_or_in_parts() {
        assert_eq!(
            shown("hunter2", "`hunter2` is no endpoint"),
            "`${env:X}` is no endpoint"
        );
        assert_eq!(
            shown("a\"b\n", r#"bad "a\"b\n" here"#),
            r#"bad "${env:X}" here"#
        );
        assert_eq!(
            shown("one\n  secret: x\ntwo", "at secret: x"),
            "at ${env:X}"
        );
        assert_eq!(
            shown("a{xy}b", "`{xy}` is neither"),
            "`${env:X}` is neither"
        );
        let long = "0123456789abcdef0123456789abcdef";
        assert_eq!(
            shown(long, "peer 56789abcdef01234 has gone"),
            "peer ${env:X} has gone"
        );
        assert_eq!(
            shown("hunter2", "hunter2 ${env:hunter2}"),
            "${env:X} ${env:hunter2}"
        );
    }

    #[test]
    fn a_short_value_is_hidden_as_a_word_and_where_its_key_is_meant() {
        assert_eq!(shown("1", "`1` is below 10"), "`${env:X}` is below 10");
        let value = Substituted::new(&["a".into()], "${env:X}".into(), "1".into());
        let elsewhere = hidden("at least 1", &["b".into()], &[value]);
        assert_eq!(elsewhere, "at least 1");
        assert_eq!(shown("", "nothing"), "nothing");
    }
}
