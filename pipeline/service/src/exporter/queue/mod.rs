//! The queue before an exporter.

mod coalesce;
mod lanes;
mod memory;
mod otlp_size;

use lanes::{Joining, Lanes};

pub(super) use coalesce::{GiveWay, Thinned, thin};
pub(super) use memory::MemoryQueue;
pub(super) use otlp_size::OtlpSizes;

/// The place of a request that is under way.
pub(super) struct Turn {
    /// The numbers in the [`Lanes`] of all that it was joined of.
    numbers: Vec<u64>,
    /// What it takes of the queue.
    used: Used,
}

impl Turn {
    /// Whether it was joined of several requests.
    pub(super) fn is_joined(&self) -> bool {
        self.numbers.len() > 1
    }
}

/// What requests take of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    /// In what the queue's sizer counts.
    size: usize,
    /// Bytes of memory.
    bytes: usize,
}

impl Used {
    fn add(&mut self, more: Used) {
        self.size = self.size.saturating_add(more.size);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    fn remove(&mut self, less: Used) {
        self.size = self.size.saturating_sub(less.size);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }

    /// Whether neither is more than there.
    fn fits(self, into: Used) -> bool {
        self.size <= into.size && self.bytes <= into.bytes
    }

    /// So many of so many parts of it, rounded down.
    fn part(self, parts: usize, of: usize) -> Used {
        let part = |it: usize| (it / of).saturating_mul(parts) + it % of * parts / of;
        Used {
            size: part(self.size),
            bytes: part(self.bytes),
        }
    }
}
