//! The queue before an exporter.

mod lanes;
mod memory;

use crate::processor::Request;

use lanes::Lanes;

pub(super) use memory::MemoryQueue;

/// Requests that wait or are under way, up to a size: the seam between an exporter's task and where they are kept. In
/// which order they may go is the same everywhere: [`Lanes`].
pub(super) trait Queue: Send {
    /// Whether no request waits or is under way.
    fn is_empty(&self) -> bool;

    /// Whether there is room for this request. One that is larger than the queue takes all of it.
    fn has_room(&self, request: &Request) -> bool;

    /// Takes a request, for which there has to be room.
    fn push(&mut self, request: Request);

    /// The next request that may be under way.
    fn next(&mut self) -> Option<(Turn, Request)>;

    /// A request is done with: it leaves the queue.
    fn done(&mut self, turn: Turn);
}

/// The place of a request that is under way.
pub(super) struct Turn {
    /// Its number in the [`Lanes`].
    number: u64,
    /// What it takes of the queue's size.
    weight: usize,
}
