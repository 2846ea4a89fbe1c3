//! How monitors write options on a command line.

use std::borrow::Cow;

/// The value of `--option VALUE` or `--option=VALUE`, the last one.
pub(super) fn option<'a>(arguments: &'a [Cow<'_, str>], name: &str) -> Option<&'a str> {
    (0..arguments.len()).rev().find_map(|at| {
        let rest = arguments[at].strip_prefix(name)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => arguments.get(at + 1).map(|it| &**it),
            None => None,
        }
    })
}

/// The value of a key in `[VALUE,]key=VALUE,…`, the last one; `implied` is the key of a first value without one. Two commas
/// are one that belongs to the value.
pub(super) fn keyed(text: &str, implied: Option<&str>, key: &str) -> Option<String> {
    let mut found = None;
    let (mut rest, mut is_first) = (text, true);
    while !rest.is_empty() {
        let end = rest.find([',', '=']).unwrap_or(rest.len());
        let has_key = rest[end..].starts_with('=');
        let found_key = match implied.filter(|_| is_first && !has_key) {
            Some(implied) => implied,
            None => &rest[..end],
        };
        let (value, after) = match (has_key, is_first && implied.is_some()) {
            (true, _) => value(&rest[end + 1..]),
            (false, true) => value(rest),
            (false, false) => (String::new(), rest[end..].strip_prefix(',').unwrap_or("")),
        };
        if found_key == key {
            found = Some(value);
        }
        (rest, is_first) = (after, false);
    }
    found
}

/// A value, and what comes after its comma.
fn value(text: &str) -> (String, &str) {
    let (mut value, mut rest) = (String::new(), text);
    loop {
        let end = rest.find(',').unwrap_or(rest.len());
        value.push_str(&rest[..end]);
        match rest[end..].strip_prefix(",,") {
            Some(after) => {
                value.push(',');
                rest = after;
            }
            None => return (value, rest[end..].strip_prefix(',').unwrap_or("")),
        }
    }
}
