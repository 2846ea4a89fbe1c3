//! When a request that is also kept elsewhere is done with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use crate::storage::LogRange;

/// Goes with all batches of a request that a log on disk has too: when the last of them is dropped, they are done with, and
/// the log is told so.
#[derive(Debug)]
pub struct Receipt {
    request: LogRange,
    done: UnboundedSender<LogRange>,
    /// The number of the first request that the log still has.
    first: Arc<AtomicU64>,
    is_kept: AtomicBool,
}

impl Receipt {
    /// For the request that stands there; `done` is told once. `first` is the number of the first request that the log
    /// still has.
    #[must_use]
    pub fn new(
        request: LogRange,
        done: UnboundedSender<LogRange>,
        first: Arc<AtomicU64>,
    ) -> Receipt {
        Receipt {
            request,
            done,
            first,
            is_kept: AtomicBool::new(false),
        }
    }

    /// The request is not done with, whatever becomes of its batches: who opens the log next sends it. Whether it is still
    /// there.
    #[allow(clippy::must_use_candidate)] // who only drops it need not know
    pub fn keep(&self) -> bool {
        self.is_kept.store(true, Ordering::Relaxed);
        self.first.load(Ordering::Relaxed) <= self.request.start.requests
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        // What is dropped because something broke down was not sent.
        if !self.is_kept.load(Ordering::Relaxed) && !std::thread::panicking() {
            // Where nobody hears it, it is sent again.
            let _ = self.done.send(self.request.clone());
        }
    }
}
