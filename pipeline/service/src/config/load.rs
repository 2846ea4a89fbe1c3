//! From files, standard input and `--set`s to one tree: parsed, merged, substituted.

use std::fs::File;
use std::io;

use pipeline::config::{MAX_FILE_BYTES, Node, NodeValue, Origin, read_bounded};
use serde_yaml::Value;

use super::diagnostic::{Diagnostic, SourceText};
use super::hide::Substituted;
use super::parse::parse;
use super::substitute::{Env, substitute};

/// A configuration as written.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) node: Node,
    pub(crate) texts: Vec<SourceText>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What variables and files gave: in no message.
    pub(crate) values: Vec<Substituted>,
    /// A text could not be read at all: whatever else is missing may have been in it.
    pub(crate) is_partial: bool,
}

/// Reads the files (`-`: standard input; none: the embedded default), merges them in order (maps deep, lists
/// replaced), then the `--set`s, and substitutes.
pub(crate) fn load(files: &[String], sets: &[String], default: &str, env: Env<'_>) -> Loaded {
    let mut loaded = Loaded::empty();
    if files.is_empty() {
        loaded.add("the embedded default", default.into());
    }
    for file in files {
        let (name, read) = if file == "-" {
            ("standard input", read_text(io::stdin()))
        } else {
            (file.as_str(), File::open(file).and_then(read_text))
        };
        match read {
            Ok(text) => loaded.add(name, text),
            Err(error) => {
                let diagnostic = Diagnostic::error(format!("cannot read {name}: {error}"));
                loaded.diagnostics.push(diagnostic);
                loaded.is_partial = true;
            }
        }
    }
    for set in sets {
        loaded.set(set);
    }
    loaded.substitute(env);
    loaded
}

/// The text of a configuration, which may well come through a pipe: it is waited for, but has its bound.
fn read_text(from: impl io::Read) -> io::Result<String> {
    let bytes = read_bounded(from, MAX_FILE_BYTES)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// How deep a `--set` may go: as deep as YAML is read.
const MAX_DEPTH: usize = 128;

impl Loaded {
    /// Of no text yet.
    pub(super) fn empty() -> Loaded {
        Loaded {
            node: Node::empty(),
            texts: Vec::new(),
            diagnostics: Vec::new(),
            values: Vec::new(),
            is_partial: false,
        }
    }

    /// Substitutes in all that is meant. Keys that begin with `x-` are the user's own, for what is written once and used by
    /// `*anchor` elsewhere.
    pub(super) fn substitute(&mut self, env: Env<'_>) {
        if let NodeValue::Map(map) = &mut self.node.tree {
            map.retain(|(key, _)| !key.starts_with("x-"));
        }
        let (node, path) = (&mut self.node, &mut Vec::new());
        substitute(node, env, path, &mut self.values, &mut self.diagnostics);
    }

    pub(super) fn add(&mut self, name: &str, mut text: String) {
        if text.starts_with('\u{feff}') {
            text.remove(0); // a byte order mark
        }
        let number = self.texts.len();
        let parsed = parse(&text, number);
        self.is_partial |= !matches!(
            parsed,
            Ok(Node {
                tree: NodeValue::Map(_),
                ..
            })
        );
        self.texts.push(SourceText {
            name: name.into(),
            text,
        });
        match parsed {
            Ok(Node {
                tree: NodeValue::Null,
                ..
            }) => self
                .diagnostics
                .push(Diagnostic::error(format!("{name} is empty"))),
            Ok(
                node @ Node {
                    tree: NodeValue::Map(_),
                    ..
                },
            ) => merge(&mut self.node, node, &mut Vec::new(), &mut self.diagnostics),
            Ok(node) => {
                let diagnostic =
                    Diagnostic::error(format!("expected a map, found {}", node.describe()));
                self.diagnostics.push(diagnostic.at_value(node.origin.as_ref()).help("a configuration has the keys `receivers`, `processors`, `exporters` and `service`"));
            }
            Err(diagnostic) => self.diagnostics.extend(diagnostic),
        }
    }

    /// `a.b=v`: the value is YAML.
    pub(super) fn set(&mut self, set: &str) {
        let number = self.texts.len();
        self.texts.push(SourceText {
            name: "--set".into(),
            text: set.into(),
        });
        let whole = Origin {
            text: number,
            key: None,
            value: 0..set.len(),
        };
        let Some((path, value)) = set.split_once('=').filter(|(path, _)| !path.is_empty()) else {
            let diagnostic = Diagnostic::error("a `--set` is written `path.to.key=value`");
            return self.diagnostics.push(diagnostic.at_value(Some(&whole)));
        };
        if path.split('.').count() > MAX_DEPTH {
            let diagnostic =
                Diagnostic::error(format!("a `--set` goes {MAX_DEPTH} keys deep at the most"));
            return self.diagnostics.push(diagnostic.at_value(Some(&whole)));
        }
        // What is no YAML, as `{a}/{b}` is none, is meant as it stands.
        let value = serde_yaml::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
        let mut node = Node::from(value);
        let origin = Origin {
            text: number,
            key: Some(0..path.len()),
            value: path.len() + 1..set.len(),
        };
        place_all(&mut node, &origin);
        for key in path.split('.').rev() {
            node = Node {
                tree: NodeValue::Map(vec![(key.into(), node)]),
                origin: Some(origin.clone()),
                ..Node::default()
            };
        }
        merge(&mut self.node, node, &mut Vec::new(), &mut self.diagnostics);
    }
}

/// Gives a node and all below it the same place.
fn place_all(node: &mut Node, origin: &Origin) {
    node.origin = Some(origin.clone());
    match &mut node.tree {
        NodeValue::Map(map) => map
            .iter_mut()
            .for_each(|(_, child)| place_all(child, origin)),
        NodeValue::List(list) => list
            .iter_mut()
            .for_each(|(_, child)| place_all(child, origin)),
        _ => {}
    }
}

fn merge(base: &mut Node, over: Node, path: &mut Vec<String>, diagnostics: &mut Vec<Diagnostic>) {
    let Node {
        tree: NodeValue::Map(have),
        ..
    } = base
    else {
        *base = over;
        return;
    };
    if let NodeValue::Map(more) = over.tree {
        for (key, value) in more {
            match have.iter_mut().find(|(name, _)| *name == key) {
                Some((_, node)) => {
                    path.push(key);
                    merge(node, value, path, diagnostics);
                    path.pop();
                }
                None => have.push((key, value)),
            }
        }
    } else {
        if matches!(over.tree, NodeValue::Null) && !have.is_empty() {
            let text = format!(
                "`{}` is empty here, which erases what was given before",
                path.join(".")
            );
            diagnostics.push(
                Diagnostic::warning(text)
                    .at_key(over.origin.as_ref())
                    .path(path),
            );
        }
        *base = over;
    }
}
