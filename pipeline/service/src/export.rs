//! What stands around an exporter: queue, retry, time-out, and the accounting: handed = sent + rejected + dropped + queued.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pipeline::{Counters, ExportError, Exporter, points};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
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
}

#[derive(Default)]
struct Said {
    down: bool,
    once: HashSet<String>,
}

/// A request in the queue, and its share of the queue's size.
type Item = (Request, OwnedSemaphorePermit);

impl Export {
    pub(crate) fn new(
        id: String,
        exporter: Arc<dyn Exporter>,
        around: Around,
        counters: Counters,
        closed: Arc<Notify>,
    ) -> Export {
        Export {
            id,
            exporter,
            around,
            counters,
            queued: AtomicU64::new(0),
            closed,
            said: Mutex::default(),
        }
    }

    /// Takes requests until the channel closes, and ends when all of them were sent or given up.
    pub(crate) async fn run(self: Arc<Export>, mut from: mpsc::Receiver<Request>) {
        let queue = &self.around.queue;
        // Without a queue there is one request under way at a time, and what is above waits.
        let size = if queue.enabled {
            queue.queue_size.get().min(Semaphore::MAX_PERMITS)
        } else {
            1
        };
        let wait = !queue.enabled || self.around.delivery.block_on_overflow;
        let room = Arc::new(Semaphore::new(size));
        let mut tasks = JoinSet::new();
        let lanes: Vec<mpsc::UnboundedSender<Item>> =
            (0..self.around.delivery.num_consumers.max(1))
                .map(|_| {
                    let (to, from) = mpsc::unbounded_channel();
                    tasks.spawn(Arc::clone(&self).lane(from));
                    to
                })
                .collect();
        while let Some(request) = from.recv().await {
            for (lane, request) in by_lane(request, lanes.len()) {
                let points = points(&request);
                let weight = match queue.sizer {
                    _ if !queue.enabled => 1,
                    Sizer::Requests => 1,
                    Sizer::Items => usize::try_from(points).unwrap_or(usize::MAX),
                };
                self.count("points_handed", "", points);
                if weight > size {
                    self.drop_once(
                        points,
                        "too_large",
                        "a request is larger than the whole queue",
                    );
                    continue;
                }
                let weight = u32::try_from(weight).unwrap_or(u32::MAX);
                let permit = if wait {
                    Arc::clone(&room).acquire_many_owned(weight).await.ok()
                } else {
                    Arc::clone(&room).try_acquire_many_owned(weight).ok()
                };
                let Some(permit) = permit else {
                    self.drop_once(
                        points,
                        "queue_full",
                        "the sending queue is full; the newest requests are dropped",
                    );
                    continue;
                };
                self.change_queued(|queued| queued + points);
                // A lane lives as long as its sender.
                let _ = lanes[lane].send((request, permit));
            }
        }
        drop(lanes);
        while tasks.join_next().await.is_some() {}
    }

    /// Gives up what is still queued: the time is over.
    pub(crate) fn abandon(&self) -> u64 {
        let left = self.queued.swap(0, Ordering::Relaxed);
        self.counters.set("points_queued", 0);
        self.count("points_dropped", "shutdown", left);
        left
    }

    async fn lane(self: Arc<Export>, mut from: mpsc::UnboundedReceiver<Item>) {
        while let Some((request, permit)) = from.recv().await {
            let points = points(&request);
            self.deliver(request).await;
            self.change_queued(|queued| queued.saturating_sub(points));
            drop(permit);
        }
    }

    /// Sends a request, as often as it takes and is allowed.
    async fn deliver(&self, mut request: Request) {
        let retry = &self.around.retry;
        let started = Instant::now();
        let mut interval = retry.initial_interval.0;
        loop {
            let all = points(&request);
            let (source, after) = match self.attempt(&request).await {
                Ok(()) => {
                    self.recovered();
                    return self.count("points_sent", "", all);
                }
                Err(ExportError::Partial { rejected, message }) => {
                    self.recovered();
                    let rejected = rejected.min(all);
                    self.count("points_sent", "", all - rejected);
                    self.count("points_rejected", "", rejected);
                    if !message.is_empty() || rejected > 0 {
                        self.say_once(&format!("the far side took a request in part: {message}"));
                    }
                    return;
                }
                Err(ExportError::Permanent { source }) => {
                    return self.drop_once(
                        all,
                        "permanent",
                        &format!("a request was refused for good: {}", chain(&*source)),
                    );
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
                        request = left;
                    }
                    (source, after)
                }
                // A kind of error that is newer than this service: nothing is known of it but that it is one.
                Err(other) => (format!("{other:?}").into(), None),
            };
            let all = points(&request);
            let why = chain(&*source);
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
            interval = interval.mul_f64(retry.multiplier).min(retry.max_interval.0);
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

/// An error and its causes, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
