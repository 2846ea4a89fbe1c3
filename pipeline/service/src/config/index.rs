//! Where each value of a YAML text stands: a pass over its events, since the values themselves carry no positions.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScanError, Span};

/// Of a key, where there is one, and of its value.
type Spans = (Option<Range<usize>>, Range<usize>);

/// The key and value spans of each node, in bytes, by path; and the keys that stand twice.
#[derive(Debug, Default)]
pub(super) struct Index {
    at: HashMap<Vec<String>, Spans>,
    pub(super) duplicates: Vec<(Vec<String>, Range<usize>)>,
    /// Where the first document ends, where another one begins behind it.
    pub(super) end: Option<usize>,
    /// Where the first node of a second document stands.
    pub(super) second_document: Option<Range<usize>>,
}

/// How deep YAML is read: as deep as by serde.
const MAX_DEPTH: usize = 128;

/// A map or list that is being read: its path, and the key or index of the next node.
enum Frame {
    Map(Vec<String>, Option<(String, Range<usize>)>),
    List(Vec<String>, usize),
}

impl Index {
    pub(super) fn new(text: &str) -> Result<Index, (String, usize)> {
        let offsets = Offsets::new(text);
        let mut index = Index::default();
        let mut frames: Vec<Frame> = Vec::new();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error: ScanError| {
                (
                    error.info().to_owned(),
                    offsets.byte(error.marker().index()),
                )
            })?;
            let span = offsets.bytes(&span);
            if frames.len() > MAX_DEPTH {
                // Each node has its whole path: what is deeper costs as much as it is deep, each time.
                let message = format!("it is more than {MAX_DEPTH} maps and lists deep");
                return Err((message, span.start));
            }
            if let Some(end) = index.end {
                // Behind a `---` at the end stands nothing, which is read as an empty text.
                let is_empty = matches!(&event, Event::Scalar(text, ..) if text.is_empty());
                let is_node = matches!(
                    event,
                    Event::Scalar(..)
                        | Event::Alias(_)
                        | Event::MappingStart(..)
                        | Event::SequenceStart(..)
                );
                if is_node && !is_empty {
                    index.second_document = Some(end..end + 3);
                    break;
                }
                continue;
            }
            match event {
                Event::DocumentStart(_) if !index.at.is_empty() => index.end = Some(span.start),
                Event::Scalar(value, ..) => {
                    if let Some(Frame::Map(_, key @ None)) = frames.last_mut() {
                        *key = Some((value.into_owned(), span));
                    } else {
                        index.node(&mut frames, span);
                    }
                }
                Event::Alias(_) => drop(index.node(&mut frames, span)),
                Event::MappingStart(..) => {
                    let path = index.node(&mut frames, span);
                    frames.push(Frame::Map(path, None));
                }
                Event::SequenceStart(..) => {
                    let path = index.node(&mut frames, span);
                    frames.push(Frame::List(path, 0));
                }
                Event::MappingEnd | Event::SequenceEnd => drop(frames.pop()),
                _ => {}
            }
        }
        Ok(index)
    }

    /// The span of the key, where there is one, and of the value; of the nearest node above what has none of its own,
    /// such as what `<<` merged in.
    pub(super) fn find(&self, path: &[String]) -> Spans {
        let known = (0..=path.len())
            .rev()
            .find_map(|depth| self.at.get(&path[..depth]));
        known.cloned().unwrap_or_default()
    }

    /// Notes a node where the innermost frame is, and gives its path.
    fn node(&mut self, frames: &mut [Frame], span: Range<usize>) -> Vec<String> {
        let (path, key) = match frames.last_mut() {
            None => (Vec::new(), None),
            Some(Frame::List(base, next)) => {
                *next += 1;
                ([base.as_slice(), &[(*next - 1).to_string()]].concat(), None)
            }
            Some(Frame::Map(base, key)) => {
                // A key that is itself a map or a list has no name; serde_yaml refuses it later.
                let (name, span) = key
                    .take()
                    .unwrap_or_else(|| (String::from("?"), span.clone()));
                ([base.as_slice(), &[name]].concat(), Some(span))
            }
        };
        let stands = (key.clone(), span.clone());
        if self.at.insert(path.clone(), stands).is_some() {
            self.duplicates.push((path.clone(), key.unwrap_or(span)));
        }
        path
    }
}

/// From the parser's characters to bytes.
struct Offsets(Vec<usize>);

impl Offsets {
    fn new(text: &str) -> Offsets {
        Offsets(
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .collect(),
        )
    }

    fn byte(&self, char: usize) -> usize {
        self.0[char.min(self.0.len() - 1)]
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        self.byte(span.start.index())..self.byte(span.end.index())
    }
}
