//! A configuration value and where it was written.

use std::ops::Range;

/// A value of the configuration, after merging and substitution.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The value.
    pub tree: NodeValue,
    /// Where it was written; `None` for what no user wrote.
    pub origin: Option<Origin>,
    /// Whether it came out of a file (`${file:…}`): shown as `[REDACTED]`.
    pub redacted: bool,
    /// As it was written, if `${…}` stands in it: an error shows this, and never the value.
    pub written: Option<String>,
}

/// A place in one of the texts that make up the configuration: byte ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which text.
    pub text: usize,
    /// The key, where the value has one.
    pub key: Option<Range<usize>>,
    /// The value.
    pub value: Range<usize>,
}

/// The value itself.
#[derive(Clone, Debug, Default)]
pub enum NodeValue {
    /// Nothing was written: the default.
    #[default]
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Number(serde_yaml::Number),
    /// Text.
    String(String),
    /// What `${…}` gave for a whole leaf: takes the type that its field wants.
    Untyped(String),
    /// A list; each item with its index as written.
    List(Vec<(usize, Node)>),
    /// A map, in the order written.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// An empty map.
    #[must_use]
    pub fn empty() -> Node {
        Node {
            tree: NodeValue::Map(Vec::new()),
            ..Node::default()
        }
    }

    /// The value of this key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.tree {
            NodeValue::Map(map) => map
                .iter()
                .find(|(have, _)| have == key)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.tree {
            NodeValue::String(text) | NodeValue::Untyped(text) => Some(text),
            _ => None,
        }
    }

    /// The path, if it was written as `${file:path}` and nothing else.
    pub(crate) fn file(&self) -> Option<&str> {
        let NodeValue::Untyped(_) = &self.tree else {
            return None;
        };
        let path = self.written.as_deref()?.strip_prefix("${file:")?;
        path.strip_suffix('}')
    }

    /// Takes a key out of a map.
    pub fn take(&mut self, key: &str) -> Option<Node> {
        let NodeValue::Map(map) = &mut self.tree else {
            return None;
        };
        let at = map.iter().position(|(have, _)| have == key)?;
        Some(map.remove(at).1)
    }

    /// The node at this path; list items by their index as written.
    #[must_use]
    pub fn at(&self, path: &[String]) -> Option<&Node> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        match &self.tree {
            NodeValue::List(list) => list
                .iter()
                .find(|(index, _)| index.to_string() == *first)?
                .1
                .at(rest),
            _ => self.get(first)?.at(rest),
        }
    }

    /// Removes the node at this path; false if there is none, or if it is this one.
    pub(crate) fn remove(&mut self, path: &[String]) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        match &mut self.tree {
            NodeValue::Map(map) => {
                let Some(at) = map.iter().position(|(have, _)| have == first) else {
                    return false;
                };
                if rest.is_empty() {
                    map.remove(at);
                    true
                } else {
                    map[at].1.remove(rest)
                }
            }
            NodeValue::List(list) => {
                let Some(at) = list
                    .iter()
                    .position(|(index, _)| index.to_string() == *first)
                else {
                    return false;
                };
                if rest.is_empty() {
                    list.remove(at);
                    true
                } else {
                    list[at].1.remove(rest)
                }
            }
            _ => false,
        }
    }

    /// In words, for «found …»: never the text of what came out of `${…}`.
    #[must_use]
    pub fn describe(&self) -> String {
        if let Some(written) = &self.written {
            return match self.text() {
                Some("") => format!("an empty string, from `{written}`"),
                _ => format!("the value of `{written}`"),
            };
        }
        match &self.tree {
            NodeValue::Null => "nothing".into(),
            NodeValue::Bool(it) => format!("the truth value `{it}`"),
            NodeValue::Number(it) => format!("the number `{it}`"),
            NodeValue::String(it) if it.is_empty() => "an empty string".into(),
            NodeValue::String(it) => format!("the string `{it}`"),
            NodeValue::Untyped(_) => "the value of `${…}`".into(),
            NodeValue::List(_) => "a list".into(),
            NodeValue::Map(map) if map.len() == 1 => "a map of one key".into(),
            NodeValue::Map(map) => format!("a map of {} keys", map.len()),
        }
    }
}

impl From<serde_yaml::Value> for Node {
    /// A value that nobody knows the place of.
    fn from(value: serde_yaml::Value) -> Node {
        use serde_yaml::Value;
        let tree = match value {
            Value::Null => NodeValue::Null,
            Value::Bool(it) => NodeValue::Bool(it),
            Value::Number(it) => NodeValue::Number(it),
            Value::String(it) => NodeValue::String(it),
            Value::Sequence(list) => {
                NodeValue::List(list.into_iter().map(Node::from).enumerate().collect())
            }
            Value::Mapping(map) => NodeValue::Map(
                map.into_iter()
                    .map(|(key, value)| (key_text(&key), value.into()))
                    .collect(),
            ),
            Value::Tagged(tagged) => return tagged.value.into(),
        };
        Node {
            tree,
            ..Node::default()
        }
    }
}

/// A key as text: `8080` and `true` may be keys too.
fn key_text(key: &serde_yaml::Value) -> String {
    match key {
        serde_yaml::Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other)
            .map(|text| text.trim_end().to_owned())
            .unwrap_or_default(),
    }
}
