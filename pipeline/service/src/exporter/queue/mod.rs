//! The queue before an exporter.

mod coalesce;
mod lanes;
mod memory;
mod otlp_size;

use crate::processor::Request;

use lanes::{Joining, Lanes};

pub(super) use coalesce::{Thinned, thin};
pub(super) use memory::MemoryQueue;
pub(super) use otlp_size::OtlpSizes;

/// Requests that wait or are under way, up to a size: the seam between an exporter's task and where they are kept. In
/// which order they may go is the same everywhere: [`Lanes`]. So is what gives way where there is no room: [`coalesce`].
pub(super) trait Queue: Send {
    /// Whether no request waits or is under way.
    fn is_empty(&self) -> bool;

    /// Whether at most half of it is used.
    fn is_half_empty(&self) -> bool;

    /// Whether there is room for this request. One that is larger than the queue takes all of it.
    fn has_room(&mut self, request: &Request) -> bool;

    /// Takes a request; without room for it [`thin`](Queue::thin) has to follow.
    fn push(&mut self, request: Request);

    /// The next request that may be under way, with those that wait and may go with it: together of at most so many bytes
    /// as OTLP; with 0 each goes by itself.
    fn next(&mut self, max_bytes: usize) -> Option<(Turn, Request)>;

    /// A request is done with: it leaves the queue.
    fn done(&mut self, turn: Turn);

    /// How much it holds, in what its sizer counts.
    fn size(&self) -> usize;

    /// How much of that is used, what is under way included.
    fn used(&self) -> usize;

    /// What it takes in memory.
    fn bytes(&self) -> usize;

    /// It may take no more than three quarters of the memory that it takes, until it is empty again.
    fn shrink(&mut self);

    /// Makes room by thinning the sweeps that wait, if more is used than there is. The first and the last sweep of a table
    /// stay, whatever they take.
    fn thin(&mut self) -> Thinned;

    /// Makes room for this request by dropping those that wait longest. How many points that were.
    fn drop_oldest(&mut self, request: &Request) -> u64;
}

/// The place of a request that is under way.
pub(super) struct Turn {
    /// The numbers in the [`Lanes`] of all that it was joined of.
    numbers: Vec<u64>,
    /// What it takes of the queue.
    used: Used,
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
