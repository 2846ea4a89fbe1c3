//! The end of a queue on disk.

use std::time::Duration;

use pipeline::points;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::accounting::SHUTDOWN;
use super::{PersistentQueue, keep};
use crate::processor::Request;

/// How long the end waits for what is being written.
const LAST_WRITES: Duration = Duration::from_millis(500);

impl PersistentQueue {
    /// Nothing more comes, and all has gone on: waits for what became of it.
    pub(super) async fn wait_until_sent(mut self) {
        self.to = None;
        // From now on it is held by receipts only.
        self.done = mpsc::unbounded_channel().0;
        loop {
            self.write_pending();
            let give_up = self.hear_give_up();
            let slow_at = self.slow_at();
            let may_end = self.ends_early && self.unstored.is_empty();
            tokio::select! {
                biased;
                () = give_up.wait() => return,
                done = self.hear_done.recv() => match done {
                    Some(range) => self.done(&range),
                    None => break,
                },
                event = self.log.event() => self.note(event),
                Some(request) = self.hear_under_way.recv() => self.under_way(request),
                () = self.slow_timer.wait_until(slow_at) => self.is_slow(),
                () = self.accounting.fails(), if may_end => {
                    self.accounting.left_on_disk();
                    self.give_up.send_replace(true);
                    return;
                }
            }
        }
    }

    /// The time for draining is over: what the log has waits there, all else is lost.
    pub(super) async fn give_up(mut self, mut from: mpsc::Receiver<Request>) {
        self.give_up.send_replace(true);
        self.to = None;
        loop {
            tokio::select! {
                biased;
                event = self.log.event() => self.note(event),
                request = from.recv() => match request {
                    Some(request) => self.take(request),
                    None => break,
                },
            }
        }
        let all_written = async {
            while !self.writing.is_empty() {
                let event = self.log.event().await;
                self.note(event);
            }
        };
        let _ = timeout(LAST_WRITES, all_written).await;
        // A disk that has not answered by now may never do.
        for (_, request, _) in std::mem::take(&mut self.writing) {
            let lost = points(&request);
            self.accounting.handed(lost);
            self.accounting.dropped_silently(lost, SHUTDOWN);
            self.accounting.unqueued(lost);
        }
        let ready = std::mem::take(&mut self.ready).into_iter();
        let mut requests: Vec<Request> = ready.map(|it| it.request).collect();
        while !self.behind.is_empty() {
            match self.behind.first_range().map(|it| it.end) {
                Some(end) => self.behind.advance(end),
                None => requests.extend(self.behind.pop_request()),
            }
        }
        for request in &requests {
            let lost = points(request) - keep(request);
            self.accounting.dropped_silently(lost, SHUTDOWN);
            self.accounting.unqueued(lost);
        }
    }

    /// Nobody takes anything any more: what the log has waits there.
    pub(super) fn close(self) {
        for (_, request, _) in &self.writing {
            self.accounting.handed(points(request));
        }
        for ready in &self.ready {
            keep(&ready.request);
        }
    }
}
