//! One request under way: marked, sent, and kept on disk where that is broken off.

use std::sync::Arc;

use pipeline::{Batch, Receipt, Shutdown, points};

use super::accounting::{Accounting, SHUTDOWN};
use super::persistent::{Mark, keep};
use super::queue::Turn;
use super::retry::RetrySender;
use crate::processor::Request;

/// What a request is sent by.
pub(super) struct Sending {
    pub(super) sender: Arc<RetrySender>,
    pub(super) accounting: Accounting,
    pub(super) mark: Option<Mark>,
    pub(super) give_up: Shutdown,
}

impl Sending {
    /// Sends one request.
    pub(super) async fn send(self, turn: Turn, mut request: Request) -> Finished {
        let points_queued = points(&request);
        let unless_sent = KeptUnlessSent::new(&request);
        let marked_and_sent = async {
            if let Some(mark) = &self.mark {
                mark.under_way(&request).await;
            }
            self.sender.send(&mut request, turn.is_joined()).await
        };
        let sent = tokio::select! {
            biased;
            () = self.give_up.wait() => None,
            is_open = marked_and_sent => Some(is_open),
        };
        let mut points_kept = 0;
        if sent.is_some() {
            unless_sent.defuse();
        } else {
            points_kept = keep(&request);
            let lost = points(&request) - points_kept;
            self.accounting.dropped_silently(lost, SHUTDOWN);
        }
        Finished {
            turn,
            points: points_queued - points_kept,
            is_closed: sent == Some(false),
        }
    }
}

/// What became of a request that was under way.
pub(super) struct Finished {
    pub(super) turn: Turn,
    pub(super) points: u64,
    /// Nobody reads any more what the exporter writes.
    pub(super) is_closed: bool,
}

/// A log on disk keeps what it has of a request whose sending is broken off.
struct KeptUnlessSent(Vec<Arc<Receipt>>);

impl KeptUnlessSent {
    fn new(request: &Request) -> KeptUnlessSent {
        KeptUnlessSent(request.iter().filter_map(Batch::receipt).cloned().collect())
    }

    fn defuse(mut self) {
        self.0.clear();
    }
}

impl Drop for KeptUnlessSent {
    fn drop(&mut self) {
        for receipt in &self.0 {
            receipt.keep();
        }
    }
}
