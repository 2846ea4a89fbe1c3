//! What stands around an exporter: nested senders.
//!
//! ```text
//! channel ──▶ (queue on disk ──▶) batcher ──▶ backlog ──▶ queue ──▶ retry ──▶ time-out ──▶ exporter
//! ```
//!
//! Handed = sent + rejected + dropped + queued: [`Accounting`] counts each point that passes.

mod accounting;
mod backlog;
mod batcher;
mod overflow;
mod own_tasks;
mod persistent;
mod queue;
mod retry;
mod sending;
mod started;
#[cfg(test)]
mod tests;
mod timeout;

use std::sync::Arc;
use std::time::Duration;

use pipeline::telemetry::{Counter, Counters, DropReason};
use pipeline::{Batch, ComponentStatus, Exporter, RequestLog, Shutdown, points};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::config::{DeliveryConfig, Overflow, Sandbox};
use crate::memory::MemoryLimit;
use crate::processor::Request;

use accounting::Accounting;
use backlog::Backlog;
use batcher::Batcher;
use overflow::{Coalescing, MemoryWatch};
use queue::MemoryQueue;
use retry::RetrySender;
use sending::{Finished, Sending};
use timeout::TimeoutSender;

pub(crate) use own_tasks::OwnTasks;
use persistent::Mark;
pub(crate) use persistent::{PersistentQueue, thin};
pub(crate) use started::StartedExporter;

/// One exporter's task: takes requests from its channel, and ends when all of them were sent or dropped.
pub(crate) struct ExporterTask {
    counters: Counters,
    accounting: Accounting,
    /// What comes was on disk first, and counts as handed over already.
    is_stored: bool,
    /// What waits to be joined, where that is configured.
    batcher: Option<Batcher>,
    queue: MemoryQueue,
    /// What has no room in the queue while the exporter gets on.
    backlog: Backlog,
    /// Whether what is above waits while something is in the backlog.
    holds_up: bool,
    /// Whether what is above waits while anything is in the queue.
    waits_for_result: bool,
    /// What gives way once the exporter is stalled.
    overflow: Overflow,
    /// While sweeps that wait are thinned.
    coalescing: Option<Coalescing>,
    /// Whether memory is short, looked at while the queue grows.
    memory: Option<MemoryWatch>,
    /// How long nothing need have been sent for the exporter to count as stalled, so that something gives way; `None`: it
    /// never is.
    stalled_after: Option<Duration>,
    consumers: usize,
    exporter: Arc<dyn Exporter>,
    sender: Arc<RetrySender>,
    /// Where what comes was on disk first: told before it is sent.
    mark: Option<Mark>,
    /// The time for draining is over: what is left is counted, not sent.
    give_up: Shutdown,
}

/// What runs beside an exporter.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings {
    /// There is one sweep only: nothing of it is dropped for want of room.
    pub(crate) once: bool,
    /// Another exporter gets data from the same receiver: that one is not to wait for this one.
    pub(crate) is_shared: bool,
    /// From how much memory on less may wait.
    pub(crate) memory: Option<MemoryLimit>,
    /// What may refuse what the exporter does.
    pub(crate) sandbox: Sandbox,
}

impl ExporterTask {
    /// The senders around an exporter.
    pub(crate) fn new(
        exporter: Arc<dyn Exporter>,
        config: DeliveryConfig,
        surroundings: Surroundings,
        counters: Counters,
        status: ComponentStatus,
        give_up: Shutdown,
    ) -> ExporterTask {
        let Surroundings {
            once,
            is_shared,
            memory,
            sandbox,
        } = surroundings;
        let accounting = Accounting::new(counters.clone(), status);
        let DeliveryConfig {
            delivery,
            overflow,
            queue,
            retry,
        } = config;
        // What has no room waits on disk, and not in here.
        let is_stored = queue.storage.is_some();
        let overflow = if is_stored { Overflow::Block } else { overflow };
        let blocks = overflow == Overflow::Block;
        let timeout = TimeoutSender::new(Arc::clone(&exporter), delivery.timeout);
        let never = blocks || once || delivery.timeout.is_zero();
        let is_kept = is_stored || overflow == Overflow::Coalesce;
        let limit = retry.max_elapsed_time(is_kept && !once);
        let in_memory = MemoryQueue::new(&queue);
        counters.record(Counter::QUEUE_CAPACITY, in_memory.size() as u64);
        ExporterTask {
            is_stored,
            batcher: Batcher::new(&queue, exporter.wants_empty_batches()),
            queue: in_memory,
            backlog: Backlog::default(),
            holds_up: blocks || !is_shared,
            waits_for_result: queue.wait_for_result,
            overflow,
            coalescing: None,
            memory: memory.map(MemoryWatch::new),
            stalled_after: (!never).then_some(delivery.timeout),
            consumers: delivery.num_consumers.max(1),
            sender: Arc::new(RetrySender::new(
                timeout,
                retry,
                limit,
                accounting.clone(),
                sandbox,
            )),
            counters,
            accounting,
            exporter,
            mark: None,
            give_up,
        }
    }

    /// A queue on disk before it, and what it gets its requests from then.
    pub(crate) fn behind(
        &mut self,
        log: Box<dyn RequestLog>,
        give_up: watch::Sender<bool>,
        overflow: Overflow,
        once: bool,
    ) -> (PersistentQueue, mpsc::Receiver<Request>) {
        // What it has in here is in no queue: one at a time.
        let (to, stored) = mpsc::channel(1);
        let (mark, marked) = Mark::new();
        self.mark = Some(mark);
        let counts = self.accounting.clone();
        let queue = PersistentQueue::new(log, counts, to, give_up, marked, overflow, once);
        (queue, stored)
    }

    /// Runs until the channel closes and the queue is empty: `true`; or nobody reads any more what the exporter writes: `false`.
    pub(crate) async fn run(mut self, mut from: mpsc::Receiver<Request>) -> bool {
        let mut under_way = JoinSet::new();
        let mut is_open = true;
        loop {
            self.fill_queue();
            let queued = self.queue.used() as u64;
            self.counters.record(Counter::QUEUE_SIZE, queued);
            self.send_next(&mut under_way);
            if !is_open && under_way.is_empty() {
                self.exporter.drain(self.give_up.clone()).await;
                return true;
            }
            let has_room = self.backlog.is_empty() || !self.holds_up;
            let takes_more =
                is_open && has_room && (!self.waits_for_result || self.queue.is_empty());
            let stalls = self.stalls_at().filter(|_| !self.backlog.is_empty());
            let joined = self.batcher.as_ref().and_then(Batcher::waits_until);
            tokio::select! {
                biased;
                Some(finished) = under_way.join_next() => {
                    if self.finish(unwound(finished)) {
                        self.close(under_way, from).await;
                        return false;
                    }
                }
                request = from.recv(), if takes_more => {
                    is_open = request.is_some();
                    if let Some(request) = request {
                        self.take(request);
                    } else {
                        self.flush();
                    }
                }
                () = sleep_until(joined.unwrap_or_else(Instant::now)), if joined.is_some() => self.flush(),
                () = sleep_until(stalls.unwrap_or_else(Instant::now)), if stalls.is_some() => self.stall(),
            }
        }
    }

    /// Sends what may be under way.
    fn send_next(&mut self, under_way: &mut JoinSet<Finished>) {
        while under_way.len() < self.consumers {
            // What was joined on purpose is sent as it is.
            let limit = self.exporter.message_limit();
            let limit = limit.filter(|_| self.batcher.is_none());
            let Some((turn, request)) = self.queue.next(limit.unwrap_or_default()) else {
                return;
            };
            let sending = Sending {
                sender: Arc::clone(&self.sender),
                accounting: self.accounting.clone(),
                mark: self.mark.clone(),
                give_up: self.give_up.clone(),
            };
            under_way.spawn(sending.send(turn, request));
        }
    }

    /// A request is done with. Whether nobody reads any more what the exporter writes.
    fn finish(&mut self, finished: Finished) -> bool {
        self.accounting.unqueued(finished.points);
        self.queue.done(finished.turn);
        self.end_coalescing();
        finished.is_closed
    }

    /// Takes in a request.
    fn take(&mut self, mut request: Request) {
        let all = self.exporter.wants_empty_batches();
        request.retain(|batch| batch.points() > 0 || all && says_something(batch));
        if request.is_empty() {
            return;
        }
        self.handed(&request);
        if self.queue.is_empty() {
            // From now on it can get on.
            self.accounting.got_on();
        }
        let Some(batcher) = &mut self.batcher else {
            return self.enqueue(request);
        };
        for request in batcher.add(request) {
            self.enqueue(request);
        }
    }

    /// What waits to be joined waits no longer.
    fn flush(&mut self) {
        if let Some(request) = self.batcher.as_mut().and_then(Batcher::flush) {
            self.enqueue(request);
        }
    }

    /// Queues a request, or does what is to be done where there is no room.
    fn enqueue(&mut self, request: Request) {
        let pushed = if self.backlog.is_empty() {
            self.queue.try_push(request)
        } else {
            Err(request)
        };
        if let Err(request) = pushed {
            self.overflow(request);
        }
        self.spare_memory();
    }

    /// Moves what waits into the queue, as far as there is room.
    fn fill_queue(&mut self) {
        while let Some(request) = self.backlog.pop() {
            if let Err(request) = self.queue.try_push(request) {
                return self.backlog.push_first(request);
            }
        }
    }

    /// Ends it: what it still has, and what is on its way, is counted as dropped.
    async fn close(mut self, mut under_way: JoinSet<Finished>, mut from: mpsc::Receiver<Request>) {
        let component = &**self.counters.component();
        tracing::info!(
            component,
            "nobody reads any more what it writes: it has ended"
        );
        from.close();
        while let Some(request) = from.recv().await {
            self.handed(&request);
            self.drop_closed(points(&request));
        }
        let waiting = self.backlog.clear();
        let waiting: u64 = waiting.iter().map(|it| points(it)).sum();
        self.drop_closed(waiting + self.batcher.as_ref().map_or(0, Batcher::points));
        loop {
            while let Some((turn, request)) = self.queue.next(0) {
                self.drop_closed(points(&request));
                self.queue.done(turn);
            }
            let Some(finished) = under_way.join_next().await else {
                return;
            };
            self.finish(unwound(finished));
        }
    }

    fn handed(&self, request: &Request) {
        if !self.is_stored {
            self.accounting.handed(points(request));
        }
    }

    fn drop_closed(&self, points: u64) {
        self.accounting.dropped_silently(points, DropReason::CLOSED);
        self.accounting.unqueued(points);
    }
}

/// Whether a batch without points says that its sweep has ended, or that its table shows nothing any more.
fn says_something(batch: &Batch) -> bool {
    batch.sweep().last || !batch.table().is_empty()
}

/// An exporter that broke down takes its task with it: the program ends.
fn unwound(finished: Result<Finished, JoinError>) -> Finished {
    finished.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
