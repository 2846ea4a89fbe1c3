//! What waits for room in the queue.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pipeline::{Batch, points};

use crate::processor::Request;

/// Requests beyond the queue, in order of arrival.
#[derive(Default)]
pub(super) struct Overflow {
    requests: VecDeque<Request>,
    /// The sweep that waits, by table slot.
    sweeps: HashMap<Arc<str>, u64>,
}

impl Overflow {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn push(&mut self, request: Request) {
        if request.is_empty() {
            return;
        }
        for batch in &request {
            let slot = Arc::clone(&batch.table().head().table_slot);
            self.sweeps.insert(slot, batch.sweep().number);
        }
        self.requests.push_back(request);
    }

    pub(super) fn first(&self) -> Option<&Request> {
        self.requests.front()
    }

    pub(super) fn pop(&mut self) -> Option<Request> {
        let request = self.requests.pop_front()?;
        for batch in &request {
            self.sweeps.remove(&batch.table().head().table_slot);
        }
        Some(request)
    }

    /// Takes out of a request what shows again a table that already waits with another sweep, so that no more than one sweep
    /// waits. How many points that were.
    pub(super) fn refuse_next_sweep(&self, request: &mut Request) -> u64 {
        let is_next = |batch: &Batch| {
            let waiting = self.sweeps.get(&batch.table().head().table_slot);
            waiting.is_some_and(|number| *number != batch.sweep().number)
        };
        let before = points(request);
        request.retain(|batch| !is_next(batch));
        before - points(request)
    }

    /// Lets all of it go: how many points that were.
    pub(super) fn clear(&mut self) -> u64 {
        self.sweeps.clear();
        self.requests.drain(..).map(|it| points(&it)).sum()
    }
}
