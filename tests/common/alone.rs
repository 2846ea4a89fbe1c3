//! What tests share beyond this process, and have one after the other. All others run beside each other in threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// `kvm/` of the host's debugfs: tests that make VMs look at the whole of it, and whoever else sweeps it, as the embedded
/// default does, may hold a VM that has gone. It is taken before [`CPU`].
pub(crate) static KVM: Mutex<()> = Mutex::new(());

/// The host's cores: for tests that load them, and for those that fail where they are starved, since they measure CPU time
/// or count on an answer within less than a second.
pub(crate) static CPU: Mutex<()> = Mutex::new(());

/// Rows of docs/faults.md, which each test reads, and with `UPDATE_EXPECTED` writes.
pub(crate) static FAULTS: Mutex<()> = Mutex::new(());

/// Has it until this is dropped. A test that failed with it does no harm to the next.
pub(crate) fn alone(with: &'static Mutex<()>) -> MutexGuard<'static, ()> {
    with.lock().unwrap_or_else(PoisonError::into_inner)
}
