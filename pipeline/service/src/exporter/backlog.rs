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
            self.count(batch).0 = batch.sweep().number;
        }
        self.requests.push_back(request);
    }

    /// Takes the first request back.
    pub(super) fn push_first(&mut self, request: Request) {
        for batch in &request {
            self.count(batch);
        }
        self.requests.push_front(request);
    }

    fn count(&mut self, batch: &Batch) -> &mut (u64, usize) {
        let slot = Arc::clone(&batch.table().head().table_slot);
        let sweep = self.sweeps.entry(slot);
        let sweep = sweep.or_insert_with(|| (batch.sweep().number, 0));
        sweep.1 += 1;
        sweep
    }

    /// The first request.
    pub(super) fn pop(&mut self) -> Option<Request> {
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
