//! The product's allocator, with a count of what it is asked for.

#![allow(unsafe_code)] // an allocator is

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mimalloc::MiMalloc;

struct Counting;

/// What a thread was given, in a cache line of its own: counters that threads share cost more than the allocations.
#[repr(align(64))]
struct OfThread {
    allocations: AtomicU64,
    bytes: AtomicU64,
}

/// So many threads have one; those that come later share the last.
static COUNTS: [OfThread; 256] = [const {
    OfThread {
        allocations: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    }
}; 256];
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: Cell<Option<usize>> = const { Cell::new(None) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and bytes so far.
pub(crate) fn counts() -> (u64, u64) {
    let sum = |of: fn(&OfThread) -> &AtomicU64| {
        let each = COUNTS.iter().map(|it| of(it).load(Ordering::Relaxed));
        each.sum()
    };
    (sum(|it| &it.allocations), sum(|it| &it.bytes))
}

fn count(bytes: usize) {
    let last = COUNTS.len() - 1;
    let at = OWN.get().unwrap_or_else(|| {
        let own = THREADS.fetch_add(1, Ordering::Relaxed).min(last);
        OWN.set(Some(own));
        own
    });
    let counts = &COUNTS[at];
    let counted = [(&counts.allocations, 1), (&counts.bytes, bytes as u64)];
    for (counter, more) in counted {
        if at == last {
            counter.fetch_add(more, Ordering::Relaxed);
        } else {
            // Nobody else writes it.
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        }
    }
}

// SAFETY: everything is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { MiMalloc.realloc(block, layout, size) }
    }
}
