//! When a request that is also kept elsewhere is done with.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use crate::storage::LogRange;

/// Goes with all batches of a request that a log on disk has too: when the last of them is dropped, they are done with, and
/// the log is told so.
#[derive(Debug)]
pub struct Receipt {
    request: LogRange,
    done: UnboundedSender<LogRange>,
    is_kept: AtomicBool,
}

impl Receipt {
    /// For the request that stands there; `done` is told once.
    #[must_use]
    pub fn new(request: LogRange, done: UnboundedSender<LogRange>) -> Receipt {
        Receipt {
            request,
            done,
            is_kept: AtomicBool::new(false),
        }
    }

    /// The request is not done with, whatever becomes of its batches: who opens the log next sends it.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
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
