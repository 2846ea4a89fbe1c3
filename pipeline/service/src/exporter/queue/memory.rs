//! A queue in memory: what is in it when the program is killed is lost.

use std::sync::{Arc, Mutex, PoisonError};

use pipeline::telemetry::DropReason;
use pipeline::{Shutdown, async_trait, points};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Queue, Queued, Refusal};
use crate::config::{DeliveryConfig, Sizer};
use crate::exporter::accounting::SHUTDOWN;
use crate::processor::Request;

const QUEUE_FULL: Refusal = Refusal {
    reason: DropReason::loss("queue_full"),
    message: "the sending queue is full; the newest requests are dropped",
};

const TOO_LARGE: Refusal = Refusal {
    reason: DropReason::loss("too_large"),
    message: "a request is larger than the whole queue; dropped",
};

const TOO_LATE: Refusal = Refusal {
    reason: SHUTDOWN,
    message: "the time for draining is over",
};

/// Requests in memory, up to a size that all consumers share.
pub(in crate::exporter) struct MemoryQueue {
    size: usize,
    room: Arc<Semaphore>,
    by_points: bool,
    waits: bool,
    /// One a consumer; none when the queue is closed.
    senders: Mutex<Vec<mpsc::UnboundedSender<QueueEntry>>>,
    receivers: Vec<tokio::sync::Mutex<mpsc::UnboundedReceiver<QueueEntry>>>,
    give_up: Shutdown,
}

/// A request, and its part of the queue's size.
type QueueEntry = (Request, OwnedSemaphorePermit);

impl MemoryQueue {
    /// An empty queue. Without one there is one request under way at a time, and what is above waits.
    pub(in crate::exporter) fn new(
        config: &DeliveryConfig,
        consumers: usize,
        give_up: Shutdown,
    ) -> MemoryQueue {
        let queue = &config.queue;
        let size = if queue.enabled {
            queue.queue_size.get().min(Semaphore::MAX_PERMITS)
        } else {
            1
        };
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..consumers).map(|_| mpsc::unbounded_channel()).unzip();
        MemoryQueue {
            size,
            room: Arc::new(Semaphore::new(size)),
            by_points: queue.enabled && matches!(queue.sizer, Sizer::Items),
            waits: !queue.enabled || config.delivery.block_on_overflow,
            senders: Mutex::new(senders),
            receivers: receivers.into_iter().map(tokio::sync::Mutex::new).collect(),
            give_up,
        }
    }

    /// Room in the queue for this request, or why there is none.
    async fn room_for(&self, request: &Request) -> Result<OwnedSemaphorePermit, Refusal> {
        let weight = if self.by_points {
            u32::try_from(points(request)).unwrap_or(u32::MAX)
        } else {
            1
        };
        if weight as usize > self.size {
            return Err(TOO_LARGE);
        }
        let room = Arc::clone(&self.room);
        if !self.waits {
            return room.try_acquire_many_owned(weight).map_err(|_| QUEUE_FULL);
        }
        tokio::select! {
            permit = room.acquire_many_owned(weight) => permit.map_err(|_| TOO_LATE),
            () = self.give_up.clone().wait() => Err(TOO_LATE),
        }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn offer(&self, consumer: usize, request: Request) -> Result<(), Refusal> {
        let permit = self.room_for(&request).await?;
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = senders.get(consumer).ok_or(TOO_LATE)?;
        sender.send((request, permit)).map_err(|_| TOO_LATE)
    }

    async fn next(&self, consumer: usize) -> Option<Queued> {
        let mut receiver = self.receivers.get(consumer)?.lock().await;
        let (request, permit) = receiver.recv().await?;
        Some(Queued {
            request,
            _room: Box::new(permit),
        })
    }

    fn close(&self) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.clear();
    }
}
