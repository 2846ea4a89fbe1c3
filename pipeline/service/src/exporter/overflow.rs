//! What gives way where the queue has no room.

use std::time::Duration;

use pipeline::points;
use pipeline::telemetry::DropReason;
use tokio::time::Instant;

use super::ExporterTask;
use crate::config::Overflow;
use crate::memory::MemoryLimit;
use crate::processor::Request;

/// A newer point holds what they said.
pub(super) const COALESCED: DropReason = DropReason::intended("coalesced");

/// Sweeps that wait are thinned.
#[derive(Debug)]
pub(super) struct Coalescing {
    since: Instant,
    /// How many points gave way.
    points: u64,
    /// The time from one sweep of a table that is left to the next one, at the most.
    interval: Duration,
}

/// Looks whether memory is short, while the queue grows.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    limit: MemoryLimit,
    /// What the queue took when it was last looked, or less.
    seen_bytes: usize,
}

/// It is looked whether memory is short when the queue has grown by so much.
const LOOK_EACH: usize = 1 << 20;

impl MemoryWatch {
    pub(super) fn new(limit: MemoryLimit) -> MemoryWatch {
        let seen_bytes = 0;
        MemoryWatch { limit, seen_bytes }
    }

    /// Bytes that are taken and that should be at the most, where the queue has grown and memory is short.
    fn is_short(&mut self, queue_bytes: usize) -> Option<(u64, u64)> {
        self.seen_bytes = self.seen_bytes.min(queue_bytes);
        if queue_bytes - self.seen_bytes < LOOK_EACH {
            return None;
        }
        self.seen_bytes = queue_bytes;
        Some((self.limit.exceeded()?, self.limit.soft_bytes()))
    }
}

impl ExporterTask {
    /// Where memory is short less may wait, until the queue is empty again.
    pub(super) fn spare_memory(&mut self) {
        let bytes = self.queue.bytes();
        let Some((used, limit)) = self.memory.as_mut().and_then(|it| it.is_short(bytes)) else {
            return;
        };
        self.accounting.short_of_memory(used, limit);
        self.queue.shrink();
        match self.overflow {
            Overflow::Coalesce => self.thin(),
            Overflow::DropOldest => {
                let dropped = self.queue.drop_oldest();
                self.drop_oldest_points(dropped);
            }
            Overflow::DropNewest | Overflow::Block => {}
        }
    }

    /// A request has no room: it waits, while what is above waits or the exporter gets on, or something gives way.
    pub(super) fn overflow(&mut self, mut request: Request) {
        let is_stalled = self.stalls_at().is_some_and(|at| at <= Instant::now());
        let is_too_much = !self.holds_up && self.backlog.is_next_sweep(&request);
        if is_stalled || (is_too_much && self.overflow != Overflow::DropNewest) {
            return self.make_room(Some(request));
        }
        if is_too_much {
            let refused = self.backlog.refuse_next_sweep(&mut request);
            self.drop_newest(refused);
        }
        self.backlog.push(request);
    }

    /// The exporter is stalled while something has no room.
    pub(super) fn stall(&mut self) {
        self.make_room(None);
    }

    /// When it counts as stalled, unless it sends something before.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        let after = self.stalled_after?;
        self.accounting.last_got_on().checked_add(after)
    }

    /// Something gives way, so that nothing waits for room any more.
    fn make_room(&mut self, newest: Option<Request>) {
        let requests = self.backlog.clear().into_iter().chain(newest);
        match self.overflow {
            Overflow::Coalesce => {
                requests.for_each(|it| self.queue.push(it));
                self.thin();
            }
            Overflow::DropOldest => {
                let dropped = requests.map(|it| self.queue.push_dropping_oldest(it)).sum();
                self.drop_oldest_points(dropped);
            }
            Overflow::DropNewest | Overflow::Block => {
                let points = requests.map(|it| points(&it)).sum();
                self.drop_newest(points);
            }
        }
    }

    fn drop_newest(&self, points: u64) {
        let message = "the sending queue is full; the newest requests are dropped";
        self.drop_for_want_of_room(points, message);
    }

    fn drop_oldest_points(&self, points: u64) {
        let message = "the sending queue is full; the oldest requests are dropped";
        self.drop_for_want_of_room(points, message);
    }

    fn drop_for_want_of_room(&self, points: u64, message: &'static str) {
        if points > 0 {
            self.accounting.unqueued(points);
            self.accounting
                .dropped(points, DropReason::QUEUE_FULL, message, "");
        }
    }

    /// Thins the sweeps that wait, if there are more than there is room for.
    fn thin(&mut self) {
        let thinned = self.queue.thin();
        self.accounting.unqueued(thinned.points);
        self.accounting.dropped_silently(thinned.points, COALESCED);
        let message = "the sending queue is full of points that no other holds; the oldest of them are dropped";
        self.drop_for_want_of_room(thinned.lost, message);
        if thinned.points == 0 {
            return;
        }
        if self.coalescing.is_none() {
            self.accounting.coalescing();
        }
        let coalescing = self.coalescing.get_or_insert_with(|| Coalescing {
            since: Instant::now(),
            points: 0,
            interval: Duration::ZERO,
        });
        coalescing.points += thinned.points;
        coalescing.interval = coalescing.interval.max(thinned.interval);
    }

    /// Says how coarse it became, once at most half of the queue is used again.
    pub(super) fn end_coalescing(&mut self) {
        if self.coalescing.is_none() || !self.queue.is_half_empty() {
            return;
        }
        if let Some(Coalescing {
            since,
            points,
            interval,
        }) = self.coalescing.take()
        {
            tracing::info!(
                component = &**self.counters.component(),
                lasted = ?since.elapsed(),
                ?interval,
                points,
                "the sending queue has room again; the sweeps that waited are this interval apart at the most"
            );
        }
    }
}
