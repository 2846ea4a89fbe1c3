//! Addresses on loopback where nobody listens yet.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A free port of a loopback address of its own: all others take theirs of 127.0.0.1, so that none of a test beside this
/// one gets the port before this one's server has it, or while it is away.
pub(crate) fn free_address() -> SocketAddr {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let [high, low] = LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, 1, high, low), 0)).unwrap();
    listener.local_addr().unwrap()
}
