//! What stands around an exporter: nested senders.
//!
//! ```text
//! channel ──▶ queue ──▶ consumer ──▶ retry ──▶ time-out ──▶ exporter
//! ```
//!
//! Handed = sent + rejected + dropped + queued: [`Accounting`] counts each point that passes.

mod accounting;
mod own_tasks;
mod queue;
mod retry;
mod started;
mod timeout;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pipeline::telemetry::Counters;
use pipeline::{Exporter, Shutdown, points};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinError, JoinSet};

use crate::config::DeliveryConfig;
use crate::processor::Request;

use accounting::{Accounting, SHUTDOWN};
use queue::{MemoryQueue, Queue};
use retry::RetrySender;
use timeout::TimeoutSender;

pub(crate) use own_tasks::OwnTasks;
pub(crate) use started::StartedExporter;

/// One exporter's task: takes requests from its channel, and ends when all of them were sent or dropped.
pub(crate) struct ExporterTask {
    accounting: Accounting,
    queue: MemoryQueue,
    consumers: usize,
    exporter: Arc<dyn Exporter>,
    sender: RetrySender,
    /// The time for draining is over: what is left is counted, not sent.
    give_up: Shutdown,
}

impl ExporterTask {
    /// The senders around an exporter; `reader_gone` is notified when nobody reads any more what it writes.
    pub(crate) fn new(
        exporter: Arc<dyn Exporter>,
        config: DeliveryConfig,
        counters: Counters,
        reader_gone: Arc<Notify>,
        give_up: Shutdown,
    ) -> ExporterTask {
        let accounting = Accounting::new(counters);
        let consumers = config.delivery.num_consumers.max(1);
        let timeout = TimeoutSender::new(Arc::clone(&exporter), config.delivery.timeout);
        ExporterTask {
            queue: MemoryQueue::new(&config, consumers, give_up.clone()),
            sender: RetrySender::new(timeout, config.retry, accounting.clone(), reader_gone),
            accounting,
            consumers,
            exporter,
            give_up,
        }
    }

    /// Runs until the channel closes and the queue is empty.
    pub(crate) async fn run(self, mut from: mpsc::Receiver<Request>) {
        let task = Arc::new(self);
        let mut consumers = JoinSet::new();
        for number in 0..task.consumers {
            consumers.spawn(Arc::clone(&task).consume(number));
        }
        loop {
            let request = tokio::select! {
                request = from.recv() => match request {
                    Some(request) => request,
                    None => break,
                },
                Some(ended) = consumers.join_next() => {
                    resume_panic(ended);
                    continue;
                }
            };
            for (consumer, request) in by_consumer(request, task.consumers) {
                let points = points(&request);
                task.accounting.handed(points);
                let offered = task.queue.offer(consumer, request);
                tokio::pin!(offered);
                let offered = loop {
                    tokio::select! {
                        offered = &mut offered => break offered,
                        // A consumer that broke down would never make room.
                        Some(ended) = consumers.join_next() => resume_panic(ended),
                    }
                };
                if let Err(refusal) = offered {
                    task.accounting.unqueued(points);
                    task.accounting
                        .dropped(points, refusal.reason, refusal.message, "");
                }
            }
        }
        task.queue.close();
        while let Some(ended) = consumers.join_next().await {
            resume_panic(ended);
        }
        task.exporter.drain(task.give_up.clone()).await;
    }

    /// One consumer: sends the requests of its part of the queue, one after the other.
    async fn consume(self: Arc<ExporterTask>, number: usize) {
        while let Some(mut queued) = self.queue.next(number).await {
            let points_queued = points(&queued.request);
            let is_done = tokio::select! {
                biased;
                () = self.give_up.clone().wait() => false,
                () = self.sender.send(&mut queued.request) => true,
            };
            if !is_done {
                let left = points(&queued.request);
                self.accounting.dropped_silently(left, SHUTDOWN);
            }
            self.accounting.unqueued(points_queued);
        }
    }
}

/// A consumer that broke down takes the exporter with it: the program ends.
fn resume_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Parts a request by consumer: a subsystem, and so a table's slot, always has the same one, so that a series stays in
/// order.
fn by_consumer(request: Request, consumers: usize) -> Vec<(usize, Request)> {
    let mut parts: Vec<(usize, Request)> = Vec::new();
    for batch in request.into_iter().filter(|batch| batch.points() > 0) {
        let mut hasher = DefaultHasher::new();
        batch.table().head().subsystem.hash(&mut hasher);
        let consumer = usize::try_from(hasher.finish() % consumers as u64).unwrap_or_default();
        match parts.iter_mut().find(|(have, _)| *have == consumer) {
            Some((_, part)) => part.push(batch),
            None => parts.push((consumer, vec![batch])),
        }
    }
    parts
}
