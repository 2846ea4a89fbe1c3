//! What is in memory alone, since the disk fails or is slow.

use std::sync::{Arc, Weak};

use pipeline::telemetry::DropReason;
use pipeline::{Batch, LogPosition, LogRange, points};
use tokio::time::Instant;

use super::super::overflow::COALESCED;
use super::{MAX_POINTS_IN_MEMORY, PersistentQueue, SLOW};
use crate::config::Overflow;
use crate::processor::Request;

impl PersistentQueue {
    /// When the disk takes too long for what it has to do.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        let writing = self.writing.front().map(|(_, _, since)| *since);
        let since = writing.into_iter().chain(self.marking.since()).min();
        since.map(|it| it + SLOW)
    }

    /// The disk takes too long: what waits for it goes on meanwhile.
    pub(super) fn is_slow(&mut self) {
        let message = "the disk is slow; what comes is kept in memory until it is written";
        self.accounting.warn(message, "");
        self.marking.go_on();
        let first = self.writing.front();
        if first.is_some_and(|(_, _, since)| since.elapsed() >= SLOW)
            && let Some((range, request, _)) = self.writing.pop_front()
        {
            self.accounting.handed(points(&request));
            self.wait_in_memory(request, range);
        }
    }

    /// What the disk does not have waits in memory, more coarsely where that is much, as long as it is not too much.
    pub(super) fn wait_in_memory(&mut self, request: Request, range: LogRange) {
        let count = points(&request);
        if !self.has_room_without_disk(count) && self.overflow == Overflow::Coalesce {
            let thinned = self.behind.thin(MAX_POINTS_IN_MEMORY);
            self.accounting.unqueued(thinned);
            self.accounting.dropped_silently(thinned, COALESCED);
        }
        // What blocks was taken while there was room.
        if self.has_room_without_disk(count) || self.overflow == Overflow::Block {
            let start = range.start;
            let request = self.with_receipt(request, range, false);
            let receipt = request.first().and_then(Batch::receipt);
            self.unstored
                .extend(receipt.map(|it| (start, Arc::downgrade(it))));
            return self.behind.push_request(request);
        }
        let message = "the sending queue is full, and the disk takes nothing; the newest requests are dropped";
        self.forget(&range);
        self.accounting.unqueued(count);
        self.accounting
            .dropped(count, DropReason::QUEUE_FULL, message, "");
    }

    fn has_room_without_disk(&self, points: u64) -> bool {
        self.behind.points_in_memory() + points <= MAX_POINTS_IN_MEMORY
    }

    /// The disk has dealt with a request that it took too long for.
    pub(super) fn late(&mut self, at: LogPosition, is_stored: bool) {
        let Some(receipt) = self.unstored.get(&at).and_then(Weak::upgrade) else {
            return;
        };
        if is_stored {
            receipt.stored();
            self.unstored.remove(&at);
        } else {
            self.forget(receipt.request());
        }
    }

    /// Whether nothing is lost where nothing more is sent.
    pub(super) fn is_all_stored(&self) -> bool {
        self.writing.is_empty() && self.unstored.is_empty()
    }
}
