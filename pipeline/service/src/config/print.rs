//! `print-config`: the configuration after merging and substitution, secrets hidden.

use pipeline::config::{Node, NodeValue};
use serde_yaml::Value;

/// As YAML; every secret, and what came out of a file, as `[REDACTED]`.
pub(crate) fn print(node: &Node, secrets: &[Vec<String>]) -> String {
    serde_yaml::to_string(&value(node, &mut Vec::new(), secrets)).unwrap_or_default()
}

fn value(node: &Node, path: &mut Vec<String>, secrets: &[Vec<String>]) -> Value {
    if node.redacted || secrets.contains(path) {
        return Value::String("[REDACTED]".into());
    }
    let mut below = |name: &str, child: &Node| {
        path.push(name.to_owned());
        let value = value(child, path, secrets);
        path.pop();
        value
    };
    match &node.tree {
        NodeValue::Null => Value::Null,
        NodeValue::Bool(it) => Value::Bool(*it),
        NodeValue::Number(it) => Value::Number(it.clone()),
        NodeValue::String(it) => Value::String(it.clone()),
        NodeValue::Untyped(it) => serde_yaml::from_str(it)
            .ok()
            .filter(|it: &Value| it.is_number() || it.is_bool())
            .unwrap_or_else(|| Value::String(it.clone())),
        NodeValue::List(list) => Value::Sequence(
            list.iter()
                .map(|(index, child)| below(&index.to_string(), child))
                .collect(),
        ),
        NodeValue::Map(map) => Value::Mapping(
            map.iter()
                .map(|(key, child)| (Value::String(key.clone()), below(key, child)))
                .collect(),
        ),
    }
}
