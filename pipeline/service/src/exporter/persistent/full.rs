//! Where nothing on disk gives way: what comes waits, or is dropped.

use pipeline::points;

use super::replay::STORAGE_FULL;
use super::{MAX_POINTS_IN_MEMORY, PersistentQueue};
use crate::config::Overflow;
use crate::processor::Request;

impl PersistentQueue {
    /// The log has more than it may, or no longer has.
    pub(super) fn full(&mut self, is_full: bool) {
        self.is_full = is_full;
        if is_full && self.overflow == Overflow::Block {
            self.accounting.full_on_disk();
        }
    }

    /// Whether what is above waits.
    pub(super) fn holds_up(&self) -> bool {
        let is_full = self.is_full || self.behind.points_in_memory() >= MAX_POINTS_IN_MEMORY;
        is_full && self.overflow == Overflow::Block
    }

    /// Drops a request, if there is no room for what comes.
    pub(super) fn refuses(&self, request: &Request) -> bool {
        let refuses = self.is_full && self.overflow == Overflow::DropNewest;
        if refuses {
            let points = points(request);
            let message =
                "what waits on disk takes more than `max_size`; the newest requests are dropped";
            self.accounting.handed(points);
            self.accounting.unqueued(points);
            self.accounting.dropped(points, STORAGE_FULL, message, "");
        }
        refuses
    }
}
