//! Whether standard output was open when the program was started. Rust's runtime opens `/dev/null` in the place of a standard
//! descriptor that is not ([rust-lang/rust: `library/std/src/sys/pal/unix/mod.rs`](https://github.com/rust-lang/rust/blob/1.91.0/library/std/src/sys/pal/unix/mod.rs),
//! `sanitize_standard_fds`), and what is written there is lost in silence. So it is asked before the runtime begins.

#![allow(unsafe_code)] // that a function runs before `main` is said by an attribute that is unsafe; the function is not

use std::sync::atomic::{AtomicBool, Ordering};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Called by the C library with the constructors of the program: there is one thread, and no runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let is_closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
    WAS_CLOSED.store(is_closed, Ordering::Relaxed);
}

/// Whether standard output was closed when the program was started.
pub(crate) fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}
