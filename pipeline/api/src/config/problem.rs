//! What is wrong in a configuration, as data: serde finds it, the service shows it.

use std::fmt;

use serde::de;

use super::node::{Node, Origin};

/// A mistake in the configuration.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where, below the node that was decoded.
    pub path: Vec<String>,
    /// Where it was written.
    pub origin: Option<Origin>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: Expected,
}

/// What would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing that can be named: the message says it.
    Unspecified,
    /// One of these keys, instead of this one: the mark belongs under the key.
    Key(String, Vec<String>),
    /// One of these values, instead of this one.
    Value(String, Vec<String>),
}

/// What an error in the node at `path` is, and where.
pub(super) fn problem(node: &Node, mut path: Vec<String>, kind: DecodeErrorKind) -> Problem {
    let (message, expected) = match kind {
        DecodeErrorKind::Missing(field) => {
            let origin = node.at(&path).and_then(|at| at.origin.clone());
            path.push(field.into());
            let message = format!("missing key `{field}`");
            return Problem {
                path,
                origin,
                message,
                expected: Expected::Unspecified,
            };
        }
        DecodeErrorKind::UnknownField(key, allowed) => {
            path.push(key.clone());
            (format!("unknown key `{key}`"), Expected::Key(key, allowed))
        }
        // A choice with values of its own is written as a map of one key.
        DecodeErrorKind::UnknownVariant(key, allowed)
            if node.at(&path).is_some_and(|at| at.get(&key).is_some()) =>
        {
            path.push(key.clone());
            (format!("unknown key `{key}`"), Expected::Key(key, allowed))
        }
        DecodeErrorKind::UnknownVariant(value, allowed) => (
            format!("unknown value `{value}`"),
            Expected::Value(value, allowed),
        ),
        DecodeErrorKind::Unexpected(wanted) => {
            let found = node
                .at(&path)
                .map_or_else(|| "nothing".into(), Node::describe);
            let message = format!("expected {}, found {found}", in_words(&wanted));
            (message, Expected::Unspecified)
        }
        DecodeErrorKind::Message(message) | DecodeErrorKind::WithoutValue(message) => {
            (message, Expected::Unspecified)
        }
    };
    let origin = node.at(&path).and_then(|at| at.origin.clone());
    Problem {
        path,
        origin,
        message,
        expected,
    }
}

/// What serde expects, as a user would say it.
pub(super) fn in_words(wanted: &str) -> &str {
    match wanted {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more",
        "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        wanted if wanted.starts_with("enum ") => "a map of one key",
        wanted if wanted.starts_with("a nonzero") => "a whole number, 1 or more",
        wanted => wanted,
    }
}

/// Why a node could not be decoded.
#[derive(Debug)]
pub(super) struct DecodeError {
    pub(super) kind: DecodeErrorKind,
}

#[derive(Debug)]
pub(super) enum DecodeErrorKind {
    Message(String),
    /// Something else was expected than what stands there.
    Unexpected(String),
    /// It quotes nothing that came out of `${…}`.
    WithoutValue(String),
    Missing(&'static str),
    UnknownField(String, Vec<String>),
    UnknownVariant(String, Vec<String>),
}

fn owned(all: &[&str]) -> Vec<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> DecodeError {
        DecodeError {
            kind: DecodeErrorKind::Message(message.to_string()),
        }
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> DecodeError {
        DecodeError {
            kind: DecodeErrorKind::Unexpected(expected.to_string()),
        }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> DecodeError {
        DecodeError {
            kind: DecodeErrorKind::Unexpected(expected.to_string()),
        }
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> DecodeError {
        DecodeError {
            kind: DecodeErrorKind::Unexpected(expected.to_string()),
        }
    }

    fn missing_field(field: &'static str) -> DecodeError {
        DecodeError {
            kind: DecodeErrorKind::Missing(field),
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> DecodeError {
        DecodeError {
            kind: DecodeErrorKind::UnknownField(field.to_owned(), owned(expected)),
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> DecodeError {
        DecodeError {
            kind: DecodeErrorKind::UnknownVariant(variant.to_owned(), owned(expected)),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for DecodeError {}
