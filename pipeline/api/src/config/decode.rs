//! From a [`Node`] to a component's `Config`, with every mistake at its own place.

use serde::de::DeserializeOwned;

use super::node::Node;
use super::problem::{DecodeErrorKind, Problem, problem};
use super::reader::{Reader, Trace};

/// A decoded value.
#[derive(Debug)]
pub struct Decoded<T> {
    /// The value.
    pub value: T,
    /// The paths of all [`Secret`](super::Secret)s in it.
    pub secrets: Vec<Vec<String>>,
    /// The paths of what `${…}` gave and was read as a number or a truth value, and not as text.
    pub typed: Vec<Vec<String>>,
}

/// Decodes a node, or says all that is wrong with it.
///
/// # Errors
/// Every mistake that was found.
pub fn decode<T: DeserializeOwned>(node: &Node) -> Result<Decoded<T>, Vec<Problem>> {
    match attempt(node) {
        (Some(decoded), problems) if problems.is_empty() => Ok(decoded),
        (_, problems) => Err(problems),
    }
}

/// Decodes what can be decoded of a node, and says all that cannot: what is wrong is recorded, left out, and the rest
/// tried again.
#[must_use]
pub fn attempt<T: DeserializeOwned>(node: &Node) -> (Option<Decoded<T>>, Vec<Problem>) {
    const MAX_PROBLEMS: usize = 50;
    let mut problems: Vec<Problem> = Vec::new();
    let mut rest = node.clone();
    while problems.len() < MAX_PROBLEMS {
        let trace = Trace::default();
        let reader = Reader {
            node: &rest,
            path: None,
            trace: &trace,
        };
        let kind = match T::deserialize(reader) {
            Ok(value) => {
                let decoded = Decoded {
                    value,
                    secrets: trace.secrets.into_inner(),
                    typed: trace.typed.into_inner(),
                };
                return (Some(decoded), problems);
            }
            Err(error) => error.kind,
        };
        let path = trace.failed.into_inner().unwrap_or_default();
        // An unknown choice leaves nothing of its map.
        let is_choice = matches!(kind, DecodeErrorKind::UnknownVariant(..));
        let is_missing = matches!(kind, DecodeErrorKind::Missing(_));
        let problem = problem(node, path.clone(), kind);
        let left_out = if is_choice { &path } else { &problem.path };
        let is_known = |known: &Problem| {
            known.path == problem.path || (is_missing && known.path.starts_with(&problem.path))
        };
        if problems.iter().any(is_known) {
            // It is missing because it was wrong: what it belongs to goes too, and the rest is looked at.
            if !rest.remove(whole(&problem.path)) {
                break;
            }
            continue;
        }
        // What is missing cannot be left out: what it belongs to is.
        let gone = rest.remove(left_out) || rest.remove(whole(&problem.path));
        problems.push(problem);
        if !gone {
            break;
        }
    }
    (None, problems)
}

/// What a value belongs to: the innermost item of a list around it, or the map that it stands in.
fn whole(path: &[String]) -> &[String] {
    let is_index = |part: &String| part.bytes().all(|byte| byte.is_ascii_digit());
    let item = path.iter().rposition(is_index).map(|at| at + 1);
    &path[..item.unwrap_or(path.len().saturating_sub(1))]
}
