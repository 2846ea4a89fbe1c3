//! From a text of YAML to a tree, each node with its place.

use pipeline::config::{Node, NodeValue, Origin};
use serde_yaml::Value;

use super::diagnostic::Diagnostic;
use super::index::Index;

/// So many keys that stand twice are told.
const MAX_DUPLICATES: usize = 50;

/// The tree of a text, by its number among all of them; or what is wrong with it.
pub(super) fn parse(text: &str, number: usize) -> Result<Node, Vec<Diagnostic>> {
    let point = |at: usize| Origin {
        text: number,
        key: None,
        value: at..(at + 1).min(text.len()).max(at),
    };
    let index = Index::new(text)
        .map_err(|(message, at)| vec![syntax(text, &message, at).at_value(Some(&point(at)))])?;
    if !index.duplicates.is_empty() {
        // In the order of the text what is within another one comes after it.
        let mut last: &[String] = &[];
        let outermost = index.duplicates.iter().filter(|(path, _)| {
            let is_within = !last.is_empty() && path.len() > last.len() && path.starts_with(last);
            if !is_within {
                last = path;
            }
            !is_within
        });
        let outermost = outermost.take(MAX_DUPLICATES);
        let twice = outermost.map(|(path, span)| {
            let key = path.last().map(String::as_str).unwrap_or_default();
            let origin = Origin {
                text: number,
                key: None,
                value: span.clone(),
            };
            Diagnostic::error(format!("the key `{key}` stands twice"))
                .at_value(Some(&origin))
                .path(path)
        });
        return Err(twice.collect());
    }
    if let Some(second) = index.second_document {
        let origin = Origin {
            text: number,
            key: None,
            value: second,
        };
        let diagnostic = Diagnostic::error("a second document begins here: a configuration is one");
        return Err(vec![diagnostic.at_value(Some(&origin)).help(
            "several files are merged, each with a `--config` of its own",
        )]);
    }
    let first = &text[..index.end.unwrap_or(text.len())];
    let value: Result<Value, _> = serde_yaml::from_str(first);
    let value = value.and_then(|mut value| value.apply_merge().map(|()| value));
    let value = value.map_err(|error| {
        let at = error
            .location()
            .map_or(0, |location| location.index().min(text.len()));
        vec![syntax(text, &error.to_string(), at).at_value(Some(&point(at)))]
    })?;
    let mut node = Node::from(value);
    place(&mut node, &index, number, &mut Vec::new());
    Ok(node)
}

fn syntax(text: &str, message: &str, at: usize) -> Diagnostic {
    if message.contains(" as u128,") || message.contains(" as i128,") {
        return Diagnostic::error("the number is too large: it has more than 64 bits")
            .help("where a text is meant, it is put in quotes");
    }
    let diagnostic = Diagnostic::error(format!("not YAML: {message}"));
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = text[line..].lines().next().unwrap_or_default();
    if text
        .lines()
        .any(|line| line.trim_start_matches(' ').starts_with('\t'))
    {
        diagnostic.help("YAML takes no tabs for indentation: use blanks")
    } else if line.contains("${") && message.contains("flow") {
        diagnostic.help("within `{ }` and `[ ]`, `${…}` has to be in quotes")
    } else {
        diagnostic
    }
}

/// Gives each node its place.
fn place(node: &mut Node, index: &Index, text: usize, path: &mut Vec<String>) {
    let (key, value) = index.find(path);
    node.origin = Some(Origin { text, key, value });
    let mut below = |name: String, child: &mut Node| {
        path.push(name);
        place(child, index, text, path);
        path.pop();
    };
    match &mut node.tree {
        NodeValue::Map(map) => map
            .iter_mut()
            .for_each(|(key, child)| below(key.clone(), child)),
        NodeValue::List(list) => list
            .iter_mut()
            .for_each(|(at, child)| below(at.to_string(), child)),
        _ => {}
    }
}
