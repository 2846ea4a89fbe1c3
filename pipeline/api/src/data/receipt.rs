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
    /// Whether the log has it.
    is_stored: AtomicBool,
    is_kept: AtomicBool,
}

impl Receipt {
    /// For the request that stands there, if it `is_stored`, or has its place there all the same; `done` is told once. `first`
    /// is the number of the first request that the log still has.
    #[must_use]
    pub fn new(
        request: LogRange,
        done: UnboundedSender<LogRange>,
        first: Arc<AtomicU64>,
        is_stored: bool,
    ) -> Receipt {
        Receipt {
            request,
            done,
            first,
            is_stored: AtomicBool::new(is_stored),
            is_kept: AtomicBool::new(false),
        }
    }

    /// Where the request stands.
    #[must_use]
    pub fn request(&self) -> &LogRange {
        &self.request
    }

    /// The log has it now.
    pub fn stored(&self) {
        self.is_stored.store(true, Ordering::Relaxed);
    }

    /// The request is not done with, whatever becomes of its batches: who opens the log next sends it. Whether it is there.
    #[allow(clippy::must_use_candidate)] // who only drops it need not know
    pub fn keep(&self) -> bool {
        self.is_kept.store(true, Ordering::Relaxed);
        self.is_stored.load(Ordering::Relaxed)
            && self.first.load(Ordering::Relaxed) <= self.request.start.requests
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
