//! How names and texts are told to a client.

use std::fmt::Write as _;

use crate::telemetry::without_controls;

/// How names with characters that Prometheus did not always know are told to a client, by the `escaping` that it asks for
/// ([Prometheus: escaping schemes](https://github.com/prometheus/proposals/blob/main/proposals/0028-utf8.md)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Each becomes `_`.
    #[default]
    Underscores,
    /// A dot becomes `_dot_`, all others `__`.
    Dots,
    /// Each becomes its code point, in names that begin with `U__`.
    Values,
    /// They stay, and the name is quoted.
    AllowUtf8,
}

impl Escaping {
    /// All of them, in the order of [`Escaping::index`].
    pub(super) const COUNT: usize = 4;

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// A name as a client gets it.
    pub(super) fn escape(self, name: &str, of: NameOf) -> String {
        let allowed = |(at, c): (usize, char)| of.allows(c, at);
        match self {
            Escaping::AllowUtf8 => without_controls(name).into_owned(),
            Escaping::Underscores | Escaping::Values if of.is_legacy(name) => name.into(),
            Escaping::Underscores if name.is_empty() => "_".into(),
            Escaping::Underscores => {
                let chars = name.char_indices();
                chars
                    .map(|it| if allowed(it) { it.1 } else { '_' })
                    .collect()
            }
            Escaping::Dots => dots(name, of),
            Escaping::Values => values(name, of),
        }
    }
}

fn dots(name: &str, of: NameOf) -> String {
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        match c {
            '.' => out.push_str("_dot_"),
            c if c != '_' && of.allows(c, at) => out.push(c),
            _ => out.push_str("__"),
        }
    }
    out
}

fn values(name: &str, of: NameOf) -> String {
    let mut out = String::from("U__");
    for c in name.chars() {
        match c {
            '_' => out.push_str("__"),
            c if of.allows(c, 1) => out.push(c),
            c => {
                let _ = write!(out, "_{:x}_", u32::from(c));
            }
        }
    }
    out
}

/// Whose a name is: a colon may stand in a metric's, not in a label's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameOf {
    Metric,
    Label,
}

impl NameOf {
    /// Whether every Prometheus knows such a name, unquoted.
    pub(super) fn is_legacy(self, name: &str) -> bool {
        !name.is_empty() && name.char_indices().all(|(at, c)| self.allows(c, at))
    }

    fn allows(self, c: char, at: usize) -> bool {
        c.is_ascii_alphabetic()
            || c == '_'
            || (c == ':' && self == NameOf::Metric)
            || (at > 0 && c.is_ascii_digit())
    }

    /// A name as it stands where names may be quoted.
    pub(super) fn quoted_if_odd(self, name: &str) -> String {
        if self.is_legacy(name) {
            return name.into();
        }
        format!("\"{}\"", escape_quoted(name))
    }

    /// Odd characters become `_`; a digit may not be first.
    pub(super) fn sanitize(self, name: &str) -> String {
        let chars = name.chars();
        let mut out: String = chars
            .map(|c| if self.allows(c, 1) { c } else { '_' })
            .collect();
        if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
            out.insert(0, '_');
        }
        out
    }
}

/// As the format writes a backslash and a line break; it knows nothing for other characters that are not seen.
pub(super) fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    without_controls(&escaped).into_owned()
}

/// The same between quotes.
pub(super) fn escape_quoted(text: &str) -> String {
    escape(text).replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_the_client_asks() {
        for (name, expected) in [
            (
                "net/rx.b_c",
                [
                    "net_rx_b_c",
                    "net__rx_dot_b__c",
                    "U__net_2f_rx_2e_b__c",
                    "net/rx.b_c",
                ],
            ),
            ("rx_c", ["rx_c", "rx__c", "rx_c", "rx_c"]),
            ("0é", ["__", "____", "U__0_e9_", "0é"]),
            ("a\n", ["a_", "a__", "U__a_a_", "a\u{fffd}"]),
        ] {
            let all = [
                Escaping::Underscores,
                Escaping::Dots,
                Escaping::Values,
                Escaping::AllowUtf8,
            ];
            assert_eq!(
                all.map(|it| it.escape(name, NameOf::Metric)),
                expected,
                "{name}"
            );
        }
    }
}
