//! What stands around an exporter: nested senders.
//!
//! ```text
//! channel ──▶ overflow ──▶ queue ──▶ retry ──▶ time-out ──▶ exporter
//! ```
//!
//! Handed = sent + rejected + dropped + queued: [`Accounting`] counts each point that passes.

mod accounting;
mod overflow;
mod own_tasks;
mod queue;
mod retry;
mod started;
#[cfg(test)]
mod tests;
mod timeout;

use std::sync::Arc;
use std::time::Duration;

use pipeline::telemetry::{Counters, DropReason};
use pipeline::{ComponentStatus, Exporter, Shutdown, points};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::config::DeliveryConfig;
use crate::processor::Request;

use accounting::{Accounting, SHUTDOWN};
use overflow::Overflow;
use queue::{MemoryQueue, Queue, Turn};
use retry::RetrySender;
use timeout::TimeoutSender;

pub(crate) use own_tasks::OwnTasks;
pub(crate) use started::StartedExporter;

const QUEUE_FULL: DropReason = DropReason::loss("queue_full");

/// One exporter's task: takes requests from its channel, and ends when all of them were sent or dropped.
pub(crate) struct ExporterTask {
    counters: Counters,
    accounting: Accounting,
    queue: Box<dyn Queue>,
    /// What has no room in the queue while the exporter gets on.
    overflow: Overflow,
    /// Whether what is above waits while something is in the overflow.
    holds_up: bool,
    /// How long nothing need have been sent for the exporter to count as stalled, so that what has no room is dropped;
    /// `None`: it never is.
    stalled_after: Option<Duration>,
    consumers: usize,
    exporter: Arc<dyn Exporter>,
    sender: Arc<RetrySender>,
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
}

/// What became of a request that was under way.
struct Finished {
    turn: Turn,
    points: u64,
    /// Nobody reads any more what the exporter writes.
    is_closed: bool,
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
        let Surroundings { once, is_shared } = surroundings;
        let accounting = Accounting::new(counters.clone(), status);
        let delivery = config.delivery;
        let blocks = delivery.block_on_overflow || !config.queue.enabled;
        let timeout = TimeoutSender::new(Arc::clone(&exporter), delivery.timeout);
        let never = blocks || once || delivery.timeout.is_zero();
        ExporterTask {
            queue: Box::new(MemoryQueue::new(&config.queue)),
            overflow: Overflow::default(),
            holds_up: blocks || !is_shared,
            stalled_after: (!never).then_some(delivery.timeout),
            consumers: delivery.num_consumers.max(1),
            sender: Arc::new(RetrySender::new(timeout, config.retry, accounting.clone())),
            counters,
            accounting,
            exporter,
            give_up,
        }
    }

    /// Runs until the channel closes and the queue is empty: `true`; or nobody reads any more what the exporter writes: `false`.
    pub(crate) async fn run(mut self, mut from: mpsc::Receiver<Request>) -> bool {
        let mut under_way = JoinSet::new();
        let mut is_open = true;
        loop {
            self.fill_queue();
            while under_way.len() < self.consumers
                && let Some((turn, request)) = self.queue.next()
            {
                let (sender, accounting) = (Arc::clone(&self.sender), self.accounting.clone());
                under_way.spawn(send(
                    sender,
                    accounting,
                    self.give_up.clone(),
                    turn,
                    request,
                ));
            }
            if !is_open && under_way.is_empty() {
                self.exporter.drain(self.give_up.clone()).await;
                return true;
            }
            let takes_more = is_open && (self.overflow.is_empty() || !self.holds_up);
            let stalls = self.stalls_at().filter(|_| !self.overflow.is_empty());
            tokio::select! {
                biased;
                Some(finished) = under_way.join_next() => {
                    let finished = unwound(finished);
                    self.accounting.unqueued(finished.points);
                    self.queue.done(finished.turn);
                    if finished.is_closed {
                        self.close(under_way, from).await;
                        return false;
                    }
                }
                request = from.recv(), if takes_more => match request {
                    Some(request) => self.take(request),
                    None => is_open = false,
                },
                () = sleep_until(stalls.unwrap_or_else(Instant::now)), if stalls.is_some() => {
                    let points = self.overflow.clear();
                    self.drop_for_want_of_room(points);
                }
            }
        }
    }

    /// Takes in a request, or drops it.
    fn take(&mut self, mut request: Request) {
        request.retain(|batch| batch.points() > 0);
        if request.is_empty() {
            return;
        }
        self.accounting.handed(points(&request));
        if self.queue.is_empty() {
            // From now on it can get on.
            self.accounting.got_on();
        }
        if self.overflow.is_empty() && self.queue.has_room(&request) {
            return self.queue.push(request);
        }
        if self.stalls_at().is_some_and(|at| at <= Instant::now()) {
            return self.drop_for_want_of_room(points(&request));
        }
        if !self.holds_up {
            let refused = self.overflow.refuse_next_sweep(&mut request);
            self.drop_for_want_of_room(refused);
        }
        self.overflow.push(request);
    }

    /// Moves what waits into the queue, as far as there is room.
    fn fill_queue(&mut self) {
        let queue = &mut self.queue;
        while let Some(request) = self.overflow.pop_if(|it| queue.has_room(it)) {
            queue.push(request);
        }
    }

    /// When it counts as stalled, unless it sends something before.
    fn stalls_at(&self) -> Option<Instant> {
        let after = self.stalled_after?;
        self.accounting.last_got_on().checked_add(after)
    }

    fn drop_for_want_of_room(&self, points: u64) {
        if points > 0 {
            self.accounting.unqueued(points);
            let message = "the sending queue is full; the newest requests are dropped";
            self.accounting.dropped(points, QUEUE_FULL, message, "");
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
            self.accounting.handed(points(&request));
            self.drop_closed(points(&request));
        }
        let waiting = self.overflow.clear();
        self.drop_closed(waiting);
        loop {
            while let Some((turn, request)) = self.queue.next() {
                self.drop_closed(points(&request));
                self.queue.done(turn);
            }
            let Some(finished) = under_way.join_next().await else {
                return;
            };
            let finished = unwound(finished);
            self.accounting.unqueued(finished.points);
            self.queue.done(finished.turn);
        }
    }

    fn drop_closed(&self, points: u64) {
        self.accounting.dropped_silently(points, DropReason::CLOSED);
        self.accounting.unqueued(points);
    }
}

/// Sends one request.
async fn send(
    sender: Arc<RetrySender>,
    accounting: Accounting,
    give_up: Shutdown,
    turn: Turn,
    mut request: Request,
) -> Finished {
    let points_queued = points(&request);
    let sent = tokio::select! {
        biased;
        () = give_up.wait() => None,
        is_open = sender.send(&mut request) => Some(is_open),
    };
    if sent.is_none() {
        accounting.dropped_silently(points(&request), SHUTDOWN);
    }
    Finished {
        turn,
        points: points_queued,
        is_closed: sent == Some(false),
    }
}

/// An exporter that broke down takes its task with it: the program ends.
fn unwound(finished: Result<Finished, JoinError>) -> Finished {
    finished.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
