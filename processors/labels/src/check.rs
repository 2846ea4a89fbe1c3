//! What cannot be meant by an action: refused with its place and the mend.

use pipeline::AnyValue;
use regex_syntax::hir::Look;

use crate::config::{Action, Map, Replace, Set};
use crate::template::fill;

/// What is wrong with an action, and at which of its keys.
pub(crate) fn check(action: &Action) -> Result<(), (&'static str, String)> {
    for (key, label) in labels(action) {
        if label.is_empty() {
            return Err((key, "is empty; a label has a key".into()));
        }
    }
    match action {
        Action::Set(Set { value, .. }) if is_empty(value) => Err(("set.value", EMPTY_LABEL.into())),
        Action::Extract(it) if it.regex.0.capture_names().flatten().next().is_none() => {
            let why = "has no named group: `(?P<label>…)` makes a label";
            Err(("extract.regex", why.into()))
        }
        Action::Map(it) => check_map(it),
        Action::Replace(it) => check_replace(it),
        Action::Name(it) => {
            let filled = fill(&it.template, "s", "m", "n");
            filled.map(drop).map_err(|why| ("name.template", why))
        }
        _ => Ok(()),
    }
}

const EMPTY_LABEL: &str =
    "is empty, and a label without a value is none to most backends; `delete` takes one away";
const EMPTY_NAME: &str = "is empty; a metric has a name";

/// The keys of labels in an action, by where they stand.
fn labels(action: &Action) -> Vec<(&'static str, &str)> {
    match action {
        Action::Set(it) => vec![("set.label", &it.label)],
        Action::Rename(it) => vec![("rename.label", &it.label), ("rename.to", &it.to)],
        Action::Delete(it) => vec![("delete.label", &it.label)],
        Action::Extract(it) => optional("extract.label", it.label.as_deref()),
        Action::Map(it) => optional("map.label", it.label.as_deref()),
        Action::Replace(it) => optional("replace.label", it.label.as_deref()),
        Action::Keep(_) | Action::Drop(_) | Action::Name(_) => Vec::new(),
    }
}

fn optional<'a>(key: &'static str, label: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    label.map(|label| (key, label)).into_iter().collect()
}

fn is_empty(value: &AnyValue) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

fn empty(label: Option<&String>) -> String {
    let why = label.map_or(EMPTY_NAME, |_| EMPTY_LABEL);
    why.into()
}

fn check_map(map: &Map) -> Result<(), (&'static str, String)> {
    if map.values.values().any(String::is_empty) {
        return Err(("map.values", empty(map.label.as_ref())));
    }
    if map.default.as_ref().is_some_and(String::is_empty) {
        return Err(("map.default", empty(map.label.as_ref())));
    }
    Ok(())
}

/// A replacement names groups that the expression has, and leaves something of a text.
fn check_replace(replace: &Replace) -> Result<(), (&'static str, String)> {
    let regex = &replace.regex.0;
    let has = |group: &str| match group.parse::<usize>() {
        Ok(number) => number < regex.captures_len(),
        Err(_) => regex.capture_names().flatten().any(|name| name == group),
    };
    if let Some(group) = groups(&replace.with).into_iter().find(|group| !has(group)) {
        let why = format!("the expression has no group `{group}`");
        let is_known = |end: &usize| group.is_char_boundary(*end) && has(&group[..*end]);
        let end = (1..group.len()).rev().find(is_known);
        let why = end.map_or(why.clone(), |end| {
            let (known, rest) = group.split_at(end);
            format!("{why}; `$${{{known}}}{rest}` is the group `{known}` and then `{rest}`")
        });
        return Err(("replace.with", why));
    }
    if replace.with.is_empty() && takes_all(regex) {
        let why = empty(replace.label.as_ref());
        return Err(("replace.with", why));
    }
    Ok(())
}

/// The groups that a replacement names
/// ([regex: replacement string syntax](https://docs.rs/regex/latest/regex/struct.Captures.html#method.expand)).
fn groups(with: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut groups = Vec::new();
    let mut rest = with;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some((group, after)) =
            rest.strip_prefix('{').and_then(|it| it.split_once('}'))
        {
            groups.push(group);
            rest = after;
        } else {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            groups.extend(Some(&rest[..end]).filter(|group| !group.is_empty()));
            rest = &rest[end..];
        }
    }
    groups
}

/// Whether an expression takes the whole of each text that it is found in: it is anchored at both ends, or takes anything.
fn takes_all(regex: &regex::Regex) -> bool {
    const ANYTHING: &str = "/a-0.ö\t%";
    let is_anchored = regex_syntax::parse(regex.as_str()).is_ok_and(|hir| {
        let properties = hir.properties();
        properties.look_set_prefix().contains(Look::Start)
            && properties.look_set_suffix().contains(Look::End)
    });
    is_anchored || regex.replace_all(ANYTHING, "").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_that_the_expression_would_look_for() {
        assert_eq!(
            groups("$1_x ${2}_y $$3 $ a$name$$$4"),
            ["1_x", "2", "name", "4"]
        );
        assert_eq!(groups("no $ and ${ none"), [""; 0]);
    }

    #[test]
    fn an_expression_that_leaves_nothing_is_known() {
        let takes_all = |text: &str| takes_all(&regex::Regex::new(text).unwrap());
        for all in [
            "^.*$",
            ".*",
            ".+",
            "(?s).*",
            "^/dev/.*$",
            "^(a|b)$",
            "^a$|^b$",
        ] {
            assert!(takes_all(all), "{all}");
        }
        for part in ["_ns$", "^/", "^a|b$", "/", "[a-z]+", "^a$|b"] {
            assert!(!takes_all(part), "{part}");
        }
    }
}
