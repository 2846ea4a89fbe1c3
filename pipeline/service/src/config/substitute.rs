//! `${env:NAME}`, `${env:NAME:-default}`, `${file:path}` and `$$`, in leaves, after parsing: a value cannot change the
//! structure ([the Collector's rules](https://opentelemetry.io/docs/collector/configuration/#environment-variables),
//! but that an unset variable without a default is an error).

use std::path::Path;

use pipeline::config::{Node, NodeValue, read_value};

use super::diagnostic::Diagnostic;
use super::hide::Substituted;

/// Where variables come from.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Substitutes in all leaves of a node, and records what `${env:…}` and `${file:…}` gave.
pub(super) fn substitute(
    node: &mut Node,
    env: Env<'_>,
    path: &mut Vec<String>,
    values: &mut Vec<Substituted>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match &mut node.tree {
        NodeValue::Map(map) => {
            for (key, value) in map {
                path.push(key.clone());
                substitute(value, env, path, values, diagnostics);
                path.pop();
            }
        }
        NodeValue::List(list) => {
            for (index, value) in list {
                path.push(index.to_string());
                substitute(value, env, path, values, diagnostics);
                path.pop();
            }
        }
        NodeValue::String(text) if text.contains('$') => match expand(text, env) {
            Ok(done) => {
                node.redacted |= done.from_file;
                node.written = done.has_reference.then(|| text.clone());
                let given = done.values.into_iter();
                values.extend(
                    given.map(|(reference, value)| Substituted::new(path, reference, value)),
                );
                node.tree = if done.whole {
                    NodeValue::Untyped(done.text)
                } else {
                    NodeValue::String(done.text)
                };
            }
            Err(message) => diagnostics.push(
                Diagnostic::error(message)
                    .at_value(node.origin.as_ref())
                    .path(path),
            ),
        },
        _ => {}
    }
}

#[derive(Debug, Default, PartialEq)]
struct Expanded {
    text: String,
    /// The leaf is one `${…}` and nothing else.
    whole: bool,
    /// A `${…}` stands in it.
    has_reference: bool,
    from_file: bool,
    /// What variables and files gave, each behind the reference to it.
    values: Vec<(String, String)>,
}

fn expand(text: &str, env: Env<'_>) -> Result<Expanded, String> {
    expand_at(text, env, 0)
}

/// How deep a default may stand within defaults.
const DEEPEST: usize = 16;

fn expand_at(text: &str, env: Env<'_>, depth: usize) -> Result<Expanded, String> {
    if depth > DEEPEST {
        return Err(format!(
            "defaults within defaults, more than {DEEPEST} deep"
        ));
    }
    let mut done = Expanded::default();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        done.text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            done.text.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix("${") {
            let end = closing(inner).ok_or_else(|| {
                format!("`{rest}` has no closing brace; a literal dollar is written `$$`")
            })?;
            let value = resolve(&inner[..end], env, depth)?;
            done.whole = at == 0 && rest.len() == text.len() && end + 3 == rest.len();
            done.has_reference = true;
            done.text.push_str(&value.text);
            done.from_file |= value.from_file;
            done.values.extend(value.values);
            rest = &inner[end + 1..];
        } else {
            done.text.push('$');
            rest = &rest[1..];
        }
    }
    done.text.push_str(rest);
    Ok(done)
}

/// Where the brace closes that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What stands between the braces.
fn resolve(inner: &str, env: Env<'_>, depth: usize) -> Result<Expanded, String> {
    let given = |text: String, from_file| Expanded {
        values: vec![(format!("${{{inner}}}"), text.clone())],
        text,
        from_file,
        ..Expanded::default()
    };
    if let Some(path) = inner.strip_prefix("file:") {
        let text = read_value(Path::new(path));
        let text = text.map_err(|error| format!("cannot read `{path}`: {error}"))?;
        return Ok(given(text, true));
    }
    let variable = inner.strip_prefix("env:").unwrap_or(inner);
    let (name, default) = variable
        .split_once(":-")
        .map_or((variable, None), |(name, default)| (name, Some(default)));
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!(
            "`${{{inner}}}` is neither `${{env:NAME}}`, `${{env:NAME:-default}}` nor `${{file:path}}`; a literal dollar is written `$$`"
        ));
    }
    match (env(name), default) {
        (Some(value), _) => Ok(given(value, false)),
        (None, Some(default)) => expand_at(default, env, depth + 1),
        (None, None) => Err(format!(
            "the environment variable `{name}` is not set; `${{env:{name}:-default}}` gives it a default"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_collector_writes_means_the_same() {
        let env = |name: &str| match name {
            "HOST" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let text = |text: &str| expand(text, &env).map(|done| done.text);
        assert_eq!(
            text("http://${env:HOST}:${PORT:-4317}/"),
            Ok("http://a:4317/".into())
        );
        assert_eq!(text("$$${env:HOST} $HOST 5$"), Ok("$a $HOST 5$".into()));
        assert_eq!(text("$${env:HOST}"), Ok("${env:HOST}".into()));
        assert_eq!(
            text("${env:EMPTY:-x}"),
            Ok(String::new()),
            "set but empty is an empty string"
        );
        assert_eq!(text("${env:NO:-${env:HOST}}"), Ok("a".into()));
        // As deep as one likes would be deeper than the stack.
        let nested = |depth| format!("{}x{}", "${NO:-".repeat(depth), "}".repeat(depth));
        assert_eq!(text(&nested(16)), Ok("x".into()));
        assert!(text(&nested(17)).is_err() && text(&nested(100_000)).is_err());
        assert!(expand("${env:HOST}", &env).unwrap().whole);
        assert!(!expand("${env:HOST}${env:HOST}", &env).unwrap().whole);
        for invalid in [
            "${env:NO}",
            "${env:HOST",
            "${http://x}",
            "${}",
            "${file:/no/such}",
        ] {
            assert!(text(invalid).is_err(), "{invalid}");
        }
    }
}
