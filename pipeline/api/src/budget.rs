//! What the kernel gives a process or a user so many of, descriptors and inotify watches: receivers may keep a part of it,
//! all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many may still be kept. Clones share one number.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// So many.
    #[must_use]
    pub fn new(count: usize) -> Budget {
        Budget(Arc::new(AtomicUsize::new(count)))
    }

    /// Takes one; false if there is none left.
    #[must_use]
    pub fn take(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    /// Gives some back that are no longer kept.
    pub fn give(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes all that are left: there are fewer than was thought.
    pub fn exhaust(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
