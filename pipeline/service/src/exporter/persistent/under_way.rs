//! What is about to be sent is written down before, so that who opens the log after a sudden end knows what may have arrived.

use std::collections::VecDeque;

use pipeline::{Batch, LogRange};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{PersistentQueue, SLOW};
use crate::processor::Request;

/// A request that is about to be sent.
pub(crate) struct UnderWay {
    ranges: Vec<LogRange>,
    /// Dropped, the request may go.
    may_go: oneshot::Sender<()>,
}

/// Marks what is about to be sent.
#[derive(Clone)]
pub(crate) struct Mark(UnboundedSender<UnderWay>);

impl Mark {
    /// A mark, and what the queue hears by.
    pub(crate) fn new() -> (Mark, UnboundedReceiver<UnderWay>) {
        let (to, from) = unbounded_channel();
        (Mark(to), from)
    }

    /// Returns once it is written down that this request is under way, as far as it is on disk; a disk that takes too long
    /// is not waited for.
    pub(crate) async fn under_way(&self, request: &Request) {
        let receipts = request.iter().filter_map(Batch::receipt);
        let mut ranges: Vec<LogRange> = receipts.map(|it| it.request().clone()).collect();
        ranges.dedup();
        let (may_go, hear) = oneshot::channel();
        let under_way = UnderWay { ranges, may_go };
        // Who has ended hears no more.
        if !under_way.ranges.is_empty() && self.0.send(under_way).is_ok() {
            let _ = hear.await;
        }
    }
}

/// What waits until it is written down that it is under way.
#[derive(Default)]
pub(super) struct Marking {
    /// The log is to be told something else.
    is_changed: bool,
    /// That something is under way is among it.
    has_tried: bool,
    /// Since the log was last told what it is to keep.
    next: Vec<oneshot::Sender<()>>,
    /// For each time that it was told what is under way, and has not answered: since when, and what waits.
    being_written: VecDeque<(Instant, Vec<oneshot::Sender<()>>)>,
}

impl Marking {
    /// Since when something waits for the log.
    pub(super) fn since(&self) -> Option<Instant> {
        let waiting = self.being_written.iter().find(|(_, it)| !it.is_empty());
        waiting.map(|(since, _)| *since)
    }

    /// The log is to be told something else than it was.
    pub(super) fn changes(&mut self) {
        self.is_changed = true;
    }

    /// The same, since something is about to be sent, which waits for it.
    fn tries(&mut self) {
        (self.is_changed, self.has_tried) = (true, true);
    }

    /// Whether the log is to be told now, and whether its answer is waited for: from now on it was told.
    pub(super) fn begins(&mut self) -> Option<bool> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let has_tried = std::mem::take(&mut self.has_tried);
        if has_tried {
            let waiting = std::mem::take(&mut self.next);
            self.being_written.push_back((Instant::now(), waiting));
        }
        Some(has_tried)
    }

    /// The log has written it down.
    pub(super) fn written(&mut self) {
        self.being_written.pop_front();
    }

    /// Lets this go once the log has written down that it is under way, as far as it was told that, or is to be; at once where it
    /// takes too long.
    fn wait(&mut self, may_go: oneshot::Sender<()>) {
        if self.is_late() {
            return;
        }
        if self.has_tried {
            self.next.push(may_go);
        } else if let Some((_, waiting)) = self.being_written.back_mut() {
            waiting.push(may_go);
        }
    }

    fn is_late(&self) -> bool {
        let first = self.being_written.front();
        first.is_some_and(|(since, _)| since.elapsed() >= SLOW)
    }

    /// The log takes too long: nothing waits for it.
    pub(super) fn go_on(&mut self) {
        if self.is_late() {
            self.being_written.iter_mut().for_each(|it| it.1.clear());
        }
    }
}

impl PersistentQueue {
    pub(super) fn under_way(&mut self, UnderWay { ranges, may_go }: UnderWay) {
        for range in ranges {
            self.try_range(&range);
        }
        self.marking.wait(may_go);
    }

    /// The log is told that this is under way, unless it was.
    pub(super) fn try_range(&mut self, range: &LogRange) {
        if !self.tried.contains(range) {
            self.tried.insert(range);
            self.marking.tries();
        }
    }
}
