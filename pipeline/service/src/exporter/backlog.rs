//! What waits for room in the queue.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pipeline::{Batch, points};

use crate::processor::Request;

/// Requests beyond the queue, in order of arrival.
#[derive(Default)]
pub(super) struct Backlog {
    requests: VecDeque<Request>,
    /// The sweep that waits, by table slot, and how many requests have a part of it.
    sweeps: HashMap<Arc<str>, (u64, usize)>,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn push(&mut self, request: Request) {
        if request.is_empty() {
            return;
        }
        for batch in &request {
            let slot = Arc::clone(&batch.table().head().table_slot);
            let (number, requests) = self.sweeps.entry(slot).or_default();
            *number = batch.sweep().number;
            *requests += 1;
        }
        self.requests.push_back(request);
    }

    /// The first request, if there is room for it.
    pub(super) fn pop_if(&mut self, has_room: impl FnOnce(&Request) -> bool) -> Option<Request> {
        self.requests.front().filter(|it| has_room(it))?;
        let request = self.requests.pop_front()?;
        for batch in &request {
            let slot = &batch.table().head().table_slot;
            if let Some((_, requests)) = self.sweeps.get_mut(slot) {
                *requests -= 1;
                if *requests == 0 {
                    self.sweeps.remove(slot);
                }
            }
        }
        Some(request)
    }

    /// Whether a request shows a table again that already waits with another sweep.
    pub(super) fn is_next_sweep(&self, request: &Request) -> bool {
        request.iter().any(|batch| self.is_next(batch))
    }

    /// Takes out of a request what shows again a table that already waits with another sweep, so that no more than one sweep
    /// waits. How many points that were.
    pub(super) fn refuse_next_sweep(&self, request: &mut Request) -> u64 {
        let before = points(request);
        request.retain(|batch| !self.is_next(batch));
        before - points(request)
    }

    fn is_next(&self, batch: &Batch) -> bool {
        let waiting = self.sweeps.get(&batch.table().head().table_slot);
        waiting.is_some_and(|(number, _)| *number != batch.sweep().number)
    }

    /// Lets all of it go.
    pub(super) fn clear(&mut self) -> VecDeque<Request> {
        self.sweeps.clear();
        std::mem::take(&mut self.requests)
    }
}
