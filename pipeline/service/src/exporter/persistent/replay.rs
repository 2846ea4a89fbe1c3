//! What was on disk alone comes back.

use std::sync::atomic::Ordering;

use pipeline::telemetry::DropReason;
use pipeline::{LogPosition, LogRange, points};
use tokio::sync::mpsc;

use super::super::overflow::COALESCED;
use super::{PersistentQueue, Ready};
use crate::processor::Request;

/// So many points are read at a time.
const READ_POINTS: u64 = 20_000;
/// So many requests that were on disk are under way at a time, once the far side takes them.
const MAX_WINDOW: usize = 32;

pub(super) const STORAGE_FULL: DropReason = DropReason::loss("storage_full");
const TOO_OLD: DropReason = DropReason::loss("too_old");
const UNREADABLE: DropReason = DropReason::loss("unreadable");

impl PersistentQueue {
    /// Lets what waits come up, or asks the log for it.
    pub(super) fn fill_ready(&mut self) {
        // As nearly always, at each event.
        if self.behind.is_empty() {
            return;
        }
        while self.has_room_in_memory()
            && let Some(request) = self.behind.pop_request()
        {
            let replayed = None;
            self.ready.push_back(Ready { request, replayed });
        }
        if self.ready.is_empty()
            && !self.is_reading
            && let Some(range) = self.behind.first_range()
        {
            self.is_reading = true;
            self.log.read(range.clone(), READ_POINTS);
        }
    }

    pub(super) fn read(
        &mut self,
        requests: Vec<(LogPosition, Request)>,
        next: LogPosition,
        thinned: u64,
    ) {
        self.is_reading = false;
        let Some(range) = self.behind.first_range() else {
            return;
        };
        let (mut expected, mut lost) = (range.start, Vec::new());
        for (at, request) in requests {
            if at < expected {
                continue;
            }
            lost.push(expected..at);
            expected = at.after(points(&request));
            let request = self.with_receipt(request, at..expected, true);
            let replayed = Some(at);
            self.ready.push_back(Ready { request, replayed });
        }
        lost.push(expected..next);
        self.behind.advance(next);
        let mut points = 0;
        for range in lost.into_iter().filter(|it| it.start < it.end) {
            self.forget(&range);
            points += range.end.points.saturating_sub(range.start.points);
        }
        self.accounting.unqueued(points);
        let thinned = thinned.min(points);
        self.accounting.dropped_silently(thinned, COALESCED);
        if points > thinned {
            let message = "requests that wait on disk cannot be read; they are lost";
            let unreadable = points - thinned;
            self.accounting.dropped(unreadable, UNREADABLE, message, "");
        }
    }

    pub(super) fn cut(&mut self, before: LogPosition, is_old: bool) {
        let lost = self.behind.cut(before);
        self.first.store(before.requests, Ordering::Relaxed);
        self.forget(&(LogPosition::default()..before));
        let (reason, message) = if is_old {
            (
                TOO_OLD,
                "requests that wait on disk are older than `max_age`; they are dropped",
            )
        } else {
            (
                STORAGE_FULL,
                "what waits on disk takes more than `max_size`; the oldest requests are dropped",
            )
        };
        if lost > 0 {
            self.accounting.unqueued(lost);
            self.accounting.dropped(lost, reason, message, "");
        }
    }

    /// Whether the next request may go on. What was on disk begins with one at a time, and goes faster as it is taken: a far
    /// side that just came back is not flooded.
    pub(super) fn may_forward(&mut self) -> bool {
        if self.accounting.is_failing() {
            self.window = 1;
        }
        let Some(first) = self.ready.front() else {
            return false;
        };
        first.replayed.is_none() || self.replayed.len() < self.window
    }

    pub(super) fn forward(&mut self, permit: mpsc::OwnedPermit<Request>) {
        if let Some(Ready { request, replayed }) = self.ready.pop_front() {
            self.replayed.extend(replayed);
            permit.send(request);
        }
    }

    /// Nobody has anything of this request any more.
    pub(super) fn done(&mut self, range: &LogRange) {
        self.forget(range);
        self.unstored.remove(&range.start);
        if let Some(index) = self.replayed.iter().position(|it| *it == range.start) {
            self.replayed.swap_remove(index);
            self.window = (self.window + 1).min(MAX_WINDOW);
        }
    }
}
