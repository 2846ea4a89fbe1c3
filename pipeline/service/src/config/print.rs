//! `print-config`: the configuration after merging and substitution, secrets hidden. Read again, it is the same.

use std::fmt::Write as _;

use pipeline::config::{Node, NodeValue};
use pipeline::telemetry::is_control_or_format;
use serde_yaml::Value;

use super::diagnostic::Diagnostic;

/// What stands for a secret. As a value it is refused, so that nobody sends it as a token.
const HIDDEN: &str = "[REDACTED]";

/// As YAML; every secret, and what came out of a file, as [`HIDDEN`]. `typed` are the paths of what `${…}` gave and is read as
/// a number or a truth value: everything else that it gave is text.
pub(crate) fn print(node: &Node, secrets: &[Vec<String>], typed: &[Vec<String>]) -> String {
    let printed = Printed { secrets, typed };
    let value = printed.value(node, &mut Vec::new());
    let yaml = serde_yaml::to_string(&value).unwrap_or_default();
    if yaml.contains(LINE_BREAKS) {
        // As JSON, which is YAML, with all of their kind escaped.
        let json = serde_json::to_string(&value).unwrap_or_default();
        let mut out = String::new();
        for c in json.chars() {
            if c <= '\u{ffff}' && is_control_or_format(c) {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            } else {
                out.push(c);
            }
        }
        return out + "\n";
    }
    yaml
}

/// Beside the line feed, these end a line for some readers of YAML and not for others
/// ([YAML 1.2, 5.4](https://yaml.org/spec/1.2.2/#54-line-break-characters)).
const LINE_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

struct Printed<'a> {
    secrets: &'a [Vec<String>],
    typed: &'a [Vec<String>],
}

impl Printed<'_> {
    fn value(&self, node: &Node, path: &mut Vec<String>) -> Value {
        if node.redacted || self.secrets.contains(path) {
            return Value::String(HIDDEN.into());
        }
        let is_typed = self.typed.contains(path);
        let mut below = |name: &str, child: &Node| {
            path.push(name.to_owned());
            let value = self.value(child, path);
            path.pop();
            value
        };
        match &node.tree {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(it) => Value::Bool(*it),
            NodeValue::Number(it) => Value::Number(it.clone()),
            NodeValue::Untyped(it) if is_typed => {
                serde_yaml::from_str(it).unwrap_or_else(|_| text(it))
            }
            NodeValue::String(it) | NodeValue::Untyped(it) => text(it),
            NodeValue::List(list) => {
                let items = list.iter();
                let items = items.map(|(index, child)| below(&index.to_string(), child));
                Value::Sequence(items.collect())
            }
            NodeValue::Map(map) => {
                let items = map.iter();
                let items =
                    items.map(|(key, child)| (Value::String(key.clone()), below(key, child)));
                Value::Mapping(items.collect())
            }
        }
    }
}

/// A dollar of a text is written twice, since one may begin a reference.
fn text(of: &str) -> Value {
    Value::String(of.replace('$', "$$"))
}

/// What `print-config` hid is no value.
pub(super) fn hidden_values(
    node: &Node,
    path: &mut Vec<String>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut below = |name: &str, child: &Node| {
        path.push(name.to_owned());
        hidden_values(child, path, diagnostics);
        path.pop();
    };
    match &node.tree {
        NodeValue::Map(map) => map.iter().for_each(|(key, child)| below(key, child)),
        NodeValue::List(list) => {
            let items = list.iter();
            items.for_each(|(index, child)| below(&index.to_string(), child));
        }
        NodeValue::String(text) | NodeValue::Untyped(text) if text.trim() == HIDDEN => {
            let message =
                format!("`{HIDDEN}` stands for a secret that `print-config` did not show");
            let hidden = Diagnostic::error(message).at_value(node.origin.as_ref());
            let help = "put the secret there, or `${env:NAME}` or `${file:path}`";
            diagnostics.push(hidden.path(path).help(help));
        }
        _ => {}
    }
}
