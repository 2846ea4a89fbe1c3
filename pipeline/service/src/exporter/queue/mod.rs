//! The queue before an exporter's consumers: the only place that may lose data.

mod memory;

use pipeline::async_trait;
use pipeline::telemetry::DropReason;

use crate::processor::Request;

pub(super) use memory::MemoryQueue;

/// A queue of requests, by consumer.
#[async_trait]
pub(super) trait Queue: Send + Sync {
    /// Puts a request where this consumer will find it, or says why it is dropped.
    async fn offer(&self, consumer: usize, request: Request) -> Result<(), Refusal>;

    /// The next request of this consumer; `None` when the queue is closed and nothing is left.
    async fn next(&self, consumer: usize) -> Option<Queued>;

    /// No more requests come.
    fn close(&self);
}

/// A request that leaves the queue when this is dropped.
pub(super) struct Queued {
    pub(super) request: Request,
    /// Its part of the queue's size.
    _room: Box<dyn Send + Sync>,
}

/// Why a request does not get into the queue.
#[derive(Clone, Copy)]
pub(super) struct Refusal {
    pub(super) reason: DropReason,
    pub(super) message: &'static str,
}
