//! What became of each point that was handed to an exporter, counted and logged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::ComponentStatus;
use pipeline::telemetry::{Counter, Counters, DropReason, Warnings};
use tokio::sync::watch;
use tokio::time::Instant;

/// What is left when the time for draining is over.
pub(super) const SHUTDOWN: DropReason = DropReason::loss("shutdown");
/// Requests that were tried again.
const REQUESTS_RETRIED: Counter = Counter::sum("requests_retried");
/// Points that were under way when the program last ended: they may arrive twice.
const POINTS_RESENT: Counter = Counter::sum("points_resent");

/// The counts of one exporter. Clones share them.
#[derive(Clone)]
pub(crate) struct Accounting {
    counters: Counters,
    warnings: Warnings,
    status: ComponentStatus,
    state: Arc<AccountingState>,
}

struct AccountingState {
    /// Points that were handed over and are neither sent nor dropped yet.
    queued: AtomicU64,
    /// The last attempt failed.
    is_failing: watch::Sender<bool>,
    /// When the far side last answered for points, or there was last nothing to send.
    got_on: Mutex<Instant>,
}

impl Accounting {
    pub(super) fn new(counters: Counters, status: ComponentStatus) -> Accounting {
        Accounting {
            warnings: Warnings::new(counters.component()),
            counters,
            status,
            state: Arc::new(AccountingState {
                queued: AtomicU64::new(0),
                is_failing: watch::Sender::new(false),
                got_on: Mutex::new(Instant::now()),
            }),
        }
    }

    /// Points come in: they are queued.
    pub(super) fn handed(&self, points: u64) {
        self.counters.record(Counter::POINTS_HANDED, points);
        self.change_queued(|queued| queued + points);
    }

    /// Points that a queue on disk has from before were under way when the program ended.
    pub(super) fn sent_again(&self, points: u64) {
        self.counters.record(POINTS_RESENT, points);
        if points > 0 {
            let component = &**self.counters.component();
            let message =
                "what was under way at the last end is sent again; the far side may have it";
            tracing::info!(component, points, "{message}");
        }
    }

    /// Points are no longer queued: what became of them is counted apart.
    pub(super) fn unqueued(&self, points: u64) {
        self.change_queued(|queued| queued.saturating_sub(points));
    }

    /// The far side took some points, and refused others for good; `message` is what it says of it.
    pub(super) fn sent(&self, sent: u64, rejected: u64, message: &str) {
        if self.state.is_failing.send_replace(false) {
            let component = &**self.counters.component();
            tracing::info!(component, "sending works again");
        }
        self.sent_in_part(sent, rejected);
        if sent == 0 && rejected > 0 {
            self.status.failed(message);
        } else {
            self.status.succeeded();
        }
        if rejected > 0 {
            let text = "the far side took a request in part";
            self.warnings.warn(text, message);
        } else if !message.is_empty() {
            let text = "the far side took a request, and warns";
            self.warnings.warn(text, message);
        }
    }

    /// The same of a part of a request whose rest has failed.
    pub(super) fn sent_in_part(&self, sent: u64, rejected: u64) {
        if sent > 0 {
            self.status.succeeded();
        }
        self.counters.record(Counter::POINTS_SENT, sent);
        self.counters.record(Counter::POINTS_REJECTED, rejected);
        self.got_on();
    }

    /// The exporter gets on: the far side answers for points, be it by a refusal, or there is nothing to send.
    pub(super) fn got_on(&self) {
        *self
            .state
            .got_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        *self.state.is_failing.borrow()
    }

    /// Waits until the last attempt failed.
    pub(super) async fn fails(&self) {
        // Its sender is in here.
        let _ = self.state.is_failing.subscribe().wait_for(|it| *it).await;
    }

    /// Something is odd that loses nothing.
    pub(super) fn warn(&self, message: &'static str, detail: &str) {
        self.warnings.warn(message, detail);
    }

    /// When it last got on.
    pub(super) fn last_got_on(&self) -> Instant {
        *self
            .state
            .got_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Points are dropped, which is warned of.
    pub(super) fn dropped(
        &self,
        points: u64,
        reason: DropReason,
        message: &'static str,
        detail: &str,
    ) {
        self.dropped_silently(points, reason);
        self.warnings.warn(message, detail);
    }

    /// A request failed for good: its points are dropped, which is warned of.
    pub(super) fn given_up(
        &self,
        points: u64,
        reason: DropReason,
        message: &'static str,
        error: &str,
    ) {
        self.status.failed(error);
        self.dropped(points, reason, message, error);
    }

    /// Points are dropped, which is only counted.
    pub(super) fn dropped_silently(&self, points: u64, reason: DropReason) {
        self.counters.dropped(reason, points);
    }

    /// A request is tried again: logged when sending begins to fail.
    pub(super) fn retried(&self, error: &str) {
        self.status.failed(error);
        self.counters.record(REQUESTS_RETRIED, 1);
        if !self.state.is_failing.send_replace(true) {
            let message = "sending fails and is tried again";
            self.warnings.warn_again(message, error);
        }
    }

    /// Requests that were joined are refused for good, and tried again in parts.
    pub(super) fn refused_together(&self, error: &str) {
        self.got_on();
        self.counters.record(REQUESTS_RETRIED, 1);
        let message = "requests were refused for good together; they are sent in parts, so that only what is refused is lost";
        self.warnings.warn(message, error);
    }

    /// Nothing more is sent, before the time for that is over: all that waits is on disk.
    pub(super) fn left_on_disk(&self) {
        let component = &**self.counters.component();
        let points = self.state.queued.load(Ordering::Relaxed);
        let message =
            "the far side takes nothing; what waits is on disk, and is sent after the next start";
        tracing::info!(component, points, "{message}");
    }

    /// Sweeps that wait are thinned from now on.
    pub(super) fn coalescing(&self) {
        let message =
            "the sending queue is full; the sweeps that wait are thinned, which costs no total";
        self.warnings.warn_again(message, "");
    }

    /// What waits on disk is as much as it may be, and nothing of it gives way.
    pub(super) fn full_on_disk(&self) {
        let message = "what waits on disk takes more than `max_size`; sweeps wait for room";
        self.warnings.warn_again(message, "");
    }

    /// The program takes more memory than it should: bytes.
    pub(super) fn short_of_memory(&self, used: u64, limit: u64) {
        let message =
            "memory is short; less may wait in the sending queue, until it is empty again";
        let detail = format!("{used} bytes are used, of {limit} that should be");
        self.warnings.warn_again(message, &detail);
    }

    fn change_queued(&self, change: impl Fn(u64) -> u64) {
        let order = Ordering::Relaxed;
        let queued = &self.state.queued;
        let previous = queued.fetch_update(order, order, |queued| Some(change(queued)));
        let now = change(previous.unwrap_or_default());
        self.counters.record(Counter::POINTS_QUEUED, now);
    }
}
