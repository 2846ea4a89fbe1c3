//! What is wrong in a configuration, as data: how it became so is serde's business, how it is told the service's.

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
    /// The message says it.
    Told,
    /// One of these keys, instead of this one: the mark belongs under the key.
    Key(String, Vec<String>),
    /// One of these values, instead of this one.
    Value(String, Vec<String>),
}
/// What a fault in the node at `path` is, and where.
pub(super) fn problem(node: &Node, mut path: Vec<String>, fault: Fault) -> Problem {
    let (message, expected) = match fault {
        Fault::Missing(field) => {
            let origin = node.at(&path).and_then(|at| at.origin.clone());
            path.push(field.into());
            let message = format!("missing key `{field}`");
            return Problem {
                path,
                origin,
                message,
                expected: Expected::Told,
            };
        }
        Fault::UnknownField(key, allowed) => {
            path.push(key.clone());
            (format!("unknown key `{key}`"), Expected::Key(key, allowed))
        }
        // A choice with values of its own is written as a map of one key.
        Fault::UnknownVariant(key, allowed)
            if node.at(&path).is_some_and(|at| at.get(&key).is_some()) =>
        {
            path.push(key.clone());
            (format!("unknown key `{key}`"), Expected::Key(key, allowed))
        }
        Fault::UnknownVariant(value, allowed) => (
            format!("unknown value `{value}`"),
            Expected::Value(value, allowed),
        ),
        Fault::Message(message) => (plain(message), Expected::Told),
    };
    let origin = node.at(&path).and_then(|at| at.origin.clone());
    Problem {
        path,
        origin,
        message,
        expected,
    }
}

/// The names of Rust's integers are no words for a user.
fn plain(message: String) -> String {
    let Some((found, wanted)) = message.rsplit_once(", expected ") else {
        return message;
    };
    let wanted = match wanted {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more",
        "i64" | "i32" => "a whole number",
        wanted if wanted.starts_with("a nonzero") => "a whole number, 1 or more",
        _ => return message,
    };
    format!("{found}, expected {wanted}")
}
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
}

#[derive(Debug)]
pub(super) enum Fault {
    Message(String),
    Missing(&'static str),
    UnknownField(String, Vec<String>),
    UnknownVariant(String, Vec<String>),
}

fn owned(all: &[&str]) -> Vec<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Failure {
        Failure {
            fault: Fault::Message(message.to_string()),
        }
    }

    fn missing_field(field: &'static str) -> Failure {
        Failure {
            fault: Fault::Missing(field),
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Failure {
        Failure {
            fault: Fault::UnknownField(field.to_owned(), owned(expected)),
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Failure {
        Failure {
            fault: Fault::UnknownVariant(variant.to_owned(), owned(expected)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}

impl std::error::Error for Failure {}
