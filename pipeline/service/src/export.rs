//! What stands around an exporter: queue, retry, time-out, and the accounting: handed = sent + rejected + dropped + queued.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pipeline::{BoxError, ExportError, Exporter, points, telemetry::Counters, with_causes};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Around, RetryOnFailure, Sizer};
use crate::stage::Request;

/// One exporter with all that stands around it.
pub(crate) struct Export {
    id: String,
    exporter: Arc<dyn Exporter>,
    around: Around,
    counters: Counters,
    /// Points that were handed over and are neither sent nor given up yet.
    queued: AtomicU64,
    /// The reader is gone for good.
    closed: Arc<Notify>,
    said: Mutex<Said>,
    room: Arc<Semaphore>,
    /// The time for draining is over: what is left is counted, not sent.
    give_up: watch::Receiver<bool>,
}

#[derive(Default)]
struct Said {
    down: bool,
    once: HashSet<String>,
}

/// Why what is left when the time is over is dropped.
const SHUTDOWN: (&str, &str) = ("shutdown", "the time for draining is over");

/// A request in the queue, and its share of the queue's size.
type Item = (Request, OwnedSemaphorePermit);

impl Export {
    pub(crate) fn new(
        id: String,
        exporter: Arc<dyn Exporter>,
        around: Around,
        counters: Counters,
        closed: Arc<Notify>,
        give_up: watch::Receiver<bool>,
    ) -> Export {
        let room = Arc::new(Semaphore::new(size(&around)));
        let (queued, said) = (AtomicU64::new(0), Mutex::default());
        Export {
            id,
            exporter,
            around,
            counters,
            queued,
            closed,
            said,
            room,
            give_up,
        }
    }

    /// Takes requests until the channel closes, and ends when all of them were sent or given up.
    pub(crate) async fn run(self: Arc<Export>, mut from: mpsc::Receiver<Request>) {
        let mut tasks = JoinSet::new();
        let lanes: Vec<mpsc::UnboundedSender<Item>> =
            (0..self.around.delivery.num_consumers.max(1))
                .map(|_| {
                    let (to, from) = mpsc::unbounded_channel();
                    tasks.spawn(Arc::clone(&self).lane(from));
                    to
                })
                .collect();
        loop {
            let request = tokio::select! {
                request = from.recv() => match request {
                    Some(request) => request,
                    None => break,
                },
                Some(ended) = tasks.join_next() => {
                    resume(ended);
                    continue;
                }
            };
            for (lane, request) in by_lane(request, lanes.len()) {
                let points = points(&request);
                self.count("points_handed", "", points);
                self.change_queued(|queued| queued + points);
                match self.room_for(points).await {
                    // A lane lives as long as its sender.
                    Ok(permit) => drop(lanes[lane].send((request, permit))),
                    Err((reason, why)) => {
                        self.change_queued(|queued| queued.saturating_sub(points));
                        self.drop_once(points, reason, why);
                    }
                }
            }
        }
        drop(lanes);
        while let Some(ended) = tasks.join_next().await {
            resume(ended);
        }
    }

    /// Room in the queue for a request of so many points, or why there is none.
    async fn room_for(
        &self,
        points: u64,
    ) -> Result<OwnedSemaphorePermit, (&'static str, &'static str)> {
        let queue = &self.around.queue;
        let weight = match queue.sizer {
            Sizer::Items if queue.enabled => u32::try_from(points).unwrap_or(u32::MAX),
            _ => 1,
        };
        if weight as usize > self.size() {
            return Err(("too_large", "a request is larger than the whole queue"));
        }
        let room = Arc::clone(&self.room);
        if !queue.enabled || self.around.delivery.block_on_overflow {
            return tokio::select! {
                permit = room.acquire_many_owned(weight) => permit.map_err(|_| SHUTDOWN),
                () = self.given_up() => Err(SHUTDOWN),
            };
        }
        let full = (
            "queue_full",
            "the sending queue is full; the newest requests are dropped",
        );
        room.try_acquire_many_owned(weight).map_err(|_| full)
    }

    /// The queue's size. Without a queue there is one request under way at a time, and what is above waits.
    fn size(&self) -> usize {
        size(&self.around)
    }

    async fn lane(self: Arc<Export>, mut from: mpsc::UnboundedReceiver<Item>) {
        while let Some((mut request, permit)) = from.recv().await {
            let queued = points(&request);
            let done = tokio::select! {
                biased;
                () = self.given_up() => false,
                () = self.deliver(&mut request) => true,
            };
            if !done {
                self.count("points_dropped", SHUTDOWN.0, points(&request));
            }
            self.change_queued(|all| all.saturating_sub(queued));
            drop(permit);
        }
    }

    /// Waits until the time for draining is over.
    async fn given_up(&self) {
        // An error means that the service is gone: the time is over as well.
        let _ = self.give_up.clone().wait_for(|over| *over).await;
    }

    /// Sends a request, as often as it takes and is allowed.
    async fn deliver(&self, request: &mut Request) {
        let retry = &self.around.retry;
        let (mut started, mut interval) = (Instant::now(), retry.initial_interval.0);
        loop {
            let (dropped, outcome) = match self.attempt(request).await {
                Err(ExportError::Dropped { points, rest }) => (points, rest.map_err(|it| *it)),
                outcome => (0, outcome),
            };
            let all = points(request).saturating_sub(dropped);
            let (source, after) = match outcome {
                Ok(()) => return self.settle(all, Ok((0, String::new()))),
                Err(ExportError::Partial { rejected, message }) => {
                    return self.settle(all, Ok((rejected, message)));
                }
                Err(ExportError::Permanent { source }) => return self.settle(all, Err(source)),
                Err(ExportError::Part { part, left }) => {
                    self.settle(all.saturating_sub(points(&left)), part);
                    *request = left;
                    // It moves: the rest has all the time that a request has.
                    (started, interval) = (Instant::now(), retry.initial_interval.0);
                    continue;
                }
                Err(ExportError::Closed) => {
                    self.count("points_dropped", "closed", all);
                    return self.closed.notify_one();
                }
                Err(ExportError::Retryable {
                    source,
                    after,
                    left,
                    rejected,
                }) => {
                    if let Some(left) = left {
                        let still = points(&left);
                        self.count("points_rejected", "", rejected);
                        self.count("points_sent", "", all.saturating_sub(still + rejected));
                        *request = left;
                    }
                    (source, after)
                }
                // A kind of error that is newer than this service: nothing is known of it but that it is one.
                Err(other) => (format!("{other:?}").into(), None),
            };
            let all = points(request);
            let why = with_causes(source.to_string(), &*source);
            if !retry.enabled {
                return self.drop_once(
                    all,
                    "not_retried",
                    &format!("a request failed, and `retry_on_failure` is off: {why}"),
                );
            }
            let delay = after.unwrap_or_default().max(jitter(interval, retry));
            let most = retry.max_elapsed_time.0;
            if !most.is_zero() && started.elapsed() + delay > most {
                return self.drop_once(
                    all,
                    "max_elapsed_time",
                    &format!("a request is given up after {most:?}: {why}"),
                );
            }
            self.failing(&why);
            self.count("requests_retried", "", 1);
            sleep(delay).await;
            let longer = interval.as_secs_f64() * retry.multiplier;
            let longer = Duration::try_from_secs_f64(longer).unwrap_or(Duration::MAX);
            interval = longer.min(retry.max_interval.0);
        }
    }

    /// Counts what became of points that are not tried again: how many were rejected, and what is said of it, or why all
    /// of them were refused for good.
    fn settle(&self, all: u64, part: Result<(u64, String), BoxError>) {
        match part {
            Ok((rejected, message)) => {
                self.recovered();
                let rejected = rejected.min(all);
                self.count("points_sent", "", all - rejected);
                self.count("points_rejected", "", rejected);
                if !message.is_empty() || rejected > 0 {
                    self.say_once(&format!("the far side took a request in part: {message}"));
                }
            }
            Err(source) => {
                let why = with_causes(source.to_string(), &*source);
                let why = format!("a request was refused for good: {why}");
                self.drop_once(all, "permanent", &why);
            }
        }
    }

    async fn attempt(&self, request: &Request) -> Result<(), ExportError> {
        let limit = self.around.delivery.timeout;
        if limit.is_zero() {
            return self.exporter.export(request).await;
        }
        timeout(limit, self.exporter.export(request))
            .await
            .unwrap_or_else(|_| {
                Err(ExportError::retryable(format!(
                    "no answer within {limit:?}"
                )))
            })
    }

    fn count(&self, name: &'static str, reason: &'static str, count: u64) {
        self.counters.add(name, reason, count);
    }

    fn change_queued(&self, change: impl Fn(u64) -> u64) {
        let before = self
            .queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
                Some(change(queued))
            });
        self.counters
            .set("points_queued", change(before.unwrap_or_default()));
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_once(&self, points: u64, reason: &'static str, why: &str) {
        self.count("points_dropped", reason, points);
        self.say_once(why);
    }

    fn say_once(&self, text: &str) {
        let mut said = self.said();
        if said.once.len() < 100 && said.once.insert(text.to_owned()) {
            tracing::warn!(exporter = self.id, "{text}; said once, then counted");
        }
    }

    fn failing(&self, why: &str) {
        if !std::mem::replace(&mut self.said().down, true) {
            tracing::warn!(
                exporter = self.id,
                "sending fails and is tried again: {why}"
            );
        }
    }

    fn recovered(&self) {
        if std::mem::take(&mut self.said().down) {
            tracing::info!(exporter = self.id, "sending works again");
        }
    }
}

fn size(around: &Around) -> usize {
    let size = around.queue.queue_size.get().min(Semaphore::MAX_PERMITS);
    if around.queue.enabled { size } else { 1 }
}

/// A lane that broke down takes the exporter with it: the program ends.
fn resume(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Parts a request by lane: a subsystem, and so a place, always takes the same one, so that a series stays in order.
fn by_lane(request: Request, lanes: usize) -> Vec<(usize, Request)> {
    let mut parts: Vec<(usize, Request)> = Vec::new();
    for batch in request.into_iter().filter(|batch| batch.points() > 0) {
        let mut hasher = DefaultHasher::new();
        batch.table().head().subsystem.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % lanes as u64).unwrap_or_default();
        match parts.iter_mut().find(|(have, _)| *have == lane) {
            Some((_, part)) => part.push(batch),
            None => parts.push((lane, vec![batch])),
        }
    }
    parts
}

/// The interval × (1 ± factor), as the Collector has it.
fn jitter(interval: Duration, retry: &RetryOnFailure) -> Duration {
    interval.mul_f64(1.0 + retry.randomization_factor * (fastrand::f64() * 2.0 - 1.0))
}
