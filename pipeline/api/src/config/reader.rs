//! A [`Node`] as serde's deserializer: it knows the place of what fails, and lets no value from `${…}` into an error.

use std::cell::RefCell;

use serde::de::value::SeqDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::node::{Node, NodeValue};
use super::problem::{DecodeError, DecodeErrorKind, in_words};
use super::types::Secret;

/// What is learnt while a node is decoded.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) secrets: RefCell<Vec<Vec<String>>>,
    pub(super) typed: RefCell<Vec<Vec<String>>>,
    pub(super) failed: RefCell<Option<Vec<String>>>,
}

#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    above: Option<&'p Path<'p>>,
    name: &'p str,
}

fn spell(mut path: Option<&Path<'_>>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(at) = path {
        all.push(at.name.to_owned());
        path = at.above;
    }
    all.reverse();
    all
}

#[derive(Clone, Copy)]
pub(super) struct Reader<'a, 'p> {
    pub(super) node: &'a Node,
    pub(super) path: Option<&'p Path<'p>>,
    pub(super) trace: &'p Trace,
}

impl<'a> Reader<'a, '_> {
    /// The innermost place that fails is the one to blame.
    fn blame<T>(&self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        result.map_err(|error| {
            self.trace
                .failed
                .borrow_mut()
                .get_or_insert_with(|| spell(self.path));
            self.without_value(error, None)
        })
    }

    /// A text that a visitor takes or refuses.
    fn visit<V: Visitor<'a>>(
        &self,
        visitor: V,
        visit: impl FnOnce(V) -> Result<V::Value, DecodeError>,
    ) -> Result<V::Value, DecodeError> {
        let written = self.node.written.as_ref();
        let expected = written.map(|_| (&visitor as &dyn de::Expected).to_string());
        let visited = visit(visitor);
        self.blame(visited.map_err(|error| self.without_value(error, expected.as_deref())))
    }

    /// The error as it may be shown: whoever refused what came out of `${…}` may have quoted it, or a part of it.
    fn without_value(&self, error: DecodeError, expected: Option<&str>) -> DecodeError {
        let Some(written) = &self.node.written else {
            return error;
        };
        let kind = match (error.kind, expected) {
            (DecodeErrorKind::UnknownVariant(_, allowed), _) => {
                DecodeErrorKind::UnknownVariant(written.clone(), allowed)
            }
            (DecodeErrorKind::Message(_), Some(expected)) => {
                let expected = in_words(expected);
                let text = format!("the value of `{written}` is not {expected}");
                DecodeErrorKind::WithoutValue(text)
            }
            (DecodeErrorKind::Message(message), None)
                if self.node.text().is_some_and(|it| message.contains(it)) =>
            {
                DecodeErrorKind::WithoutValue(format!("the value of `{written}` is refused here"))
            }
            (kind, _) => kind,
        };
        DecodeError { kind }
    }

    fn wants<T>(&self, what: &str) -> Result<T, DecodeError> {
        let hint = match (&self.node.tree, what) {
            (NodeValue::Number(_) | NodeValue::Bool(_), "a string") => "; put it in quotes",
            _ => "",
        };
        let found = self.node.describe();
        let text = format!("expected {what}, found {found}{hint}");
        let kind = DecodeErrorKind::WithoutValue(text);
        self.blame(Err(DecodeError { kind }))
    }

    fn map<V: Visitor<'a>>(&self, visitor: V) -> Result<V::Value, DecodeError> {
        static NONE: &[(String, Node)] = &[];
        let items = match &self.node.tree {
            NodeValue::Map(map) => map.as_slice(),
            NodeValue::Null => NONE,
            _ => return self.wants("a map"),
        };
        self.blame(visitor.visit_map(Items {
            rest: items.iter(),
            value: None,
            reader: *self,
        }))
    }

    fn list<V: Visitor<'a>>(&self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.tree {
            NodeValue::List(list) => self.blame(visitor.visit_seq(Elements {
                items: list.iter(),
                reader: *self,
            })),
            _ => self.wants("a list"),
        }
    }

    /// A number or truth value: what `${…}` gave is read as one, since its field wants one.
    fn scalar<V: Visitor<'a>>(&self, visitor: V, what: &str) -> Result<V::Value, DecodeError> {
        let typed;
        let tree = match &self.node.tree {
            NodeValue::Untyped(text) => {
                self.trace.typed.borrow_mut().push(spell(self.path));
                typed =
                    Node::from(serde_yaml::from_str(text).unwrap_or(serde_yaml::Value::Null)).tree;
                &typed
            }
            tree => tree,
        };
        match tree {
            NodeValue::Number(number) if what != "true or false" => {
                self.visit(visitor, |visitor| visit_number(number, visitor))
            }
            NodeValue::Bool(it) if what == "true or false" => {
                self.visit(visitor, |visitor| visitor.visit_bool(*it))
            }
            _ => self.wants(what),
        }
    }

    fn text<V: Visitor<'a>>(&self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.tree {
            NodeValue::String(text) | NodeValue::Untyped(text) => {
                self.visit(visitor, |visitor| visitor.visit_str(text))
            }
            _ => self.wants("a string"),
        }
    }
}

fn visit_number<'a, V: Visitor<'a>>(
    number: &serde_yaml::Number,
    visitor: V,
) -> Result<V::Value, DecodeError> {
    if let Some(it) = number.as_u64() {
        visitor.visit_u64(it)
    } else if let Some(it) = number.as_i64() {
        visitor.visit_i64(it)
    } else {
        visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
    }
}

macro_rules! scalars {
    ($what:literal: $($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> { self.scalar(visitor, $what) })*
    };
}

impl<'a> Deserializer<'a> for Reader<'a, '_> {
    type Error = DecodeError;

    scalars!("a whole number": deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);
    scalars!("a number": deserialize_f32 deserialize_f64);
    scalars!("true or false": deserialize_bool);

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.tree {
            NodeValue::Null => self.blame(visitor.visit_unit()),
            NodeValue::Bool(it) => self.blame(visitor.visit_bool(*it)),
            NodeValue::Number(number) => self.blame(visit_number(number, visitor)),
            NodeValue::String(text) | NodeValue::Untyped(text) => {
                self.visit(visitor, |visitor| visitor.visit_str(text))
            }
            NodeValue::List(_) => self.list(visitor),
            NodeValue::Map(_) => self.map(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if matches!(self.node.tree, NodeValue::Null) {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == Secret::NAME {
            self.trace.secrets.borrow_mut().push(spell(self.path));
            if let (Some(text), Some(file)) = (self.node.text(), self.node.file()) {
                let parts = SeqDeserializer::new([text, file].into_iter());
                return self.blame(visitor.visit_seq(parts));
            }
        }
        let value = visitor.visit_newtype_struct(self);
        self.blame(value)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.map(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.map(visitor)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'a>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.list(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        allowed: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.node.tree {
            NodeValue::String(text) | NodeValue::Untyped(text) => self.visit(visitor, |visitor| {
                visitor.visit_enum(text.as_str().into_deserializer())
            }),
            // A name such as `1.2` is a number to YAML.
            NodeValue::Number(number) if allowed.contains(&number.to_string().as_str()) => self
                .visit(visitor, |visitor| {
                    visitor.visit_enum(number.to_string().into_deserializer())
                }),
            NodeValue::Map(map) if map.len() == 1 => {
                let items = Items {
                    rest: map.iter(),
                    value: None,
                    reader: self,
                };
                self.blame(visitor.visit_enum(de::value::MapAccessDeserializer::new(items)))
            }
            tree => {
                // Beside a choice nothing else stands: what is no choice itself is the mistake.
                let keys = match tree {
                    NodeValue::Map(map) => map.as_slice(),
                    _ => &[],
                };
                let is_unknown = |key: &&String| !allowed.contains(&key.as_str());
                if let Some(key) = keys.iter().map(|(key, _)| key).find(is_unknown) {
                    return self.blame(Err(de::Error::unknown_field(key, allowed)));
                }
                let names = allowed
                    .iter()
                    .map(|it| format!("`{it}`"))
                    .collect::<Vec<_>>()
                    .join(", ");
                let how = if matches!(tree, NodeValue::Map(_)) {
                    "a map of one key, "
                } else {
                    ""
                };
                self.wants(&format!("{how}one of {names}"))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        i128 u128 char bytes byte_buf unit unit_struct tuple_struct identifier ignored_any
    }
}

struct Items<'a, 'p> {
    rest: std::slice::Iter<'a, (String, Node)>,
    value: Option<&'a (String, Node)>,
    reader: Reader<'a, 'p>,
}

impl<'a> de::MapAccess<'a> for Items<'a, '_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        self.value = self.rest.next();
        self.value
            .map(|(key, _)| seed.deserialize(key.as_str().into_deserializer()))
            .transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        let (key, node) = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("a value without a key"))?;
        let path = Path {
            above: self.reader.path,
            name: key,
        };
        let reader = Reader {
            node,
            path: Some(&path),
            trace: self.reader.trace,
        };
        reader.blame(seed.deserialize(reader))
    }
}

struct Elements<'a, 'p> {
    items: std::slice::Iter<'a, (usize, Node)>,
    reader: Reader<'a, 'p>,
}

impl<'a> de::SeqAccess<'a> for Elements<'a, '_> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let index = index.to_string();
        let path = Path {
            above: self.reader.path,
            name: &index,
        };
        let reader = Reader {
            node,
            path: Some(&path),
            trace: self.reader.trace,
        };
        reader.blame(seed.deserialize(reader)).map(Some)
    }
}
