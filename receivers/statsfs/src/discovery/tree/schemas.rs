//! The `.schema` files of a tree: equal ones are kept once, and all together are bounded.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use pipeline::config::ByteSize;

use crate::config::Limits;
use crate::discovery::schema::{Schema, SchemaLimits, parse};

/// What is known of `.schema` files by their content.
#[derive(Debug)]
pub(super) struct Schemas {
    limits: SchemaLimits,
    max_bytes: usize,
    /// The size of those that the directories have, each counted, equal or not: each has to be read.
    bytes: usize,
    known: HashMap<Box<[u8]>, Weak<Schema>>,
    /// The size of the contents that are known.
    known_bytes: usize,
}

impl Schemas {
    pub(super) fn new(limits: &Limits) -> Schemas {
        Schemas {
            limits: SchemaLimits {
                labels: limits.labels,
                label_bytes: bytes(limits.label_bytes),
            },
            max_bytes: bytes(limits.schema_total_bytes),
            bytes: 0,
            known: HashMap::new(),
            known_bytes: 0,
        }
    }

    /// A rescan begins: contents that no directory has any more are removed.
    pub(super) fn forget_unused(&mut self) {
        self.known.retain(|_, schema| schema.strong_count() > 0);
        self.known_bytes = self.known.keys().map(|content| content.len()).sum();
    }

    /// Whether a directory may have so many bytes in place of those it had.
    pub(super) fn has_room(&self, size: usize, before: usize) -> bool {
        self.bytes - before + size <= self.max_bytes
    }

    /// A directory has so many bytes in place of those it had.
    pub(super) fn replace(&mut self, size: usize, before: usize) {
        self.bytes = self.bytes - before + size;
    }

    /// What this content says.
    pub(super) fn parse(&mut self, content: Vec<u8>) -> Arc<Schema> {
        if let Some(schema) = self.known.get(&*content).and_then(Weak::upgrade) {
            return schema;
        }
        if self.known_bytes >= self.max_bytes {
            self.forget_unused();
        }
        self.known_bytes += content.len();
        let schema = Arc::new(parse(&String::from_utf8_lossy(&content), &self.limits));
        self.known.insert(content.into(), Arc::downgrade(&schema));
        schema
    }
}

/// A size in memory.
pub(super) fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}
