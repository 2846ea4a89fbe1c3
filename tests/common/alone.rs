//! What tests share beyond this process, and have one after the other: those of all checkouts on this host. All others run
//! beside each other in threads.

use std::fs::File;

/// Something that is shared, by the name of the file that is locked for it.
pub(crate) struct Shared(&'static str);

/// `kvm/` of the host's debugfs: tests that make VMs look at the whole of it, and whoever else sweeps it, as the embedded
/// default does, may hold a VM that has gone. It is taken before [`CPU`].
pub(crate) static KVM: Shared = Shared("kvm");

/// The host's cores: for tests that load them, and for those that fail where they are starved, since they measure CPU time
/// or count on an answer within less than a second.
pub(crate) static CPU: Shared = Shared("cpu");

/// Rows of docs/faults.md, which each test reads, and with `UPDATE_EXPECTED` writes.
pub(crate) static FAULTS: Shared = Shared("faults");

/// Has it until what this gives is dropped, or the process ends. A test that failed with it does no harm to the next.
pub(crate) fn alone(with: &Shared) -> File {
    let user = rustix::process::geteuid().as_raw();
    let name = format!("statsfs-collector-tests-{user}-{}", with.0);
    let path = std::env::temp_dir().join(name);
    let file = File::options().create(true).append(true).open(path);
    let file = file.unwrap();
    file.lock().unwrap();
    file
}
