//! What the thread may do: asked before loading, given up after it.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Each of these, together or alone as [`missing`] says, lets BPF programs be loaded.
const BPF: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_ADMIN);

/// What this thread lacks to load the program; empty where it lacks nothing.
pub(crate) fn missing() -> io::Result<Vec<&'static str>> {
    let effective = capabilities(None)?.effective;
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return Ok(Vec::new());
    }
    let wanted = [
        ("CAP_BPF", CapabilitySet::BPF),
        ("CAP_PERFMON", CapabilitySet::PERFMON),
    ];
    let missing = wanted
        .into_iter()
        .filter(|(_, capability)| !effective.contains(*capability));
    Ok(missing.map(|(name, _)| name).collect())
}

/// Gives up CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN, for the calling thread and for those that it starts from then on.
/// Threads that run already keep theirs: Linux has capabilities by thread.
///
/// # Errors
///
/// What the kernel says; nothing is changed then.
pub fn drop_bpf_capabilities() -> io::Result<()> {
    let now = capabilities(None)?;
    let sets = CapabilitySets {
        effective: now.effective.difference(BPF),
        permitted: now.permitted.difference(BPF),
        inheritable: now.inheritable.difference(BPF),
    };
    Ok(set_capabilities(None, sets)?)
}

/// Gives up all of them, for the calling thread.
pub(crate) fn drop_all() -> io::Result<()> {
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}
