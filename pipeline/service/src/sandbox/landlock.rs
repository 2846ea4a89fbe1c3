//! Landlock ([landlock(7)](https://man7.org/linux/man-pages/man7/landlock.7.html)): files, TCP ports, and what is outside of
//! the program.

use std::collections::BTreeSet;
use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
    make_bitflags,
};

use pipeline::Right;

use super::rights::Rights;

/// What is known here; of it, what the kernel knows is used.
const NEWEST: ABI = ABI::V6;

/// The one that has rules for TCP, of Linux 6.7; what is in it is what is asked for.
const WHOLE: ABI = ABI::V4;

/// To read a file, and to list a directory.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// Takes away all but these rights, from this thread and those that it starts from now on. What this kernel has no rules for.
///
/// # Errors
/// Why nothing was taken away.
pub(super) fn restrict(rights: &Rights) -> Result<Option<String>, String> {
    let status = ruleset(rights).and_then(RulesetCreated::restrict_self);
    let status = status.map_err(|error| format!("Landlock: {error}"))?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= WHOLE => Ok(None),
        LandlockStatus::Available { .. } => Ok(Some(
            "Landlock has no rules for TCP, or for cutting files, before Linux 6.7".into(),
        )),
        LandlockStatus::NotEnabled => {
            Err("Landlock is not switched on (`lsm=` on the kernel's command line)".into())
        }
        LandlockStatus::NotImplemented => {
            Err("this kernel has no Landlock, or a filter of system calls refuses it".into())
        }
    }
}

fn ruleset(rights: &Rights) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::Signal)?;
    let connected = rights.connected();
    if connected.is_some() {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    if !is_notified_by_name() {
        ruleset = ruleset.scope(Scope::AbstractUnixSocket)?;
    }
    let mut ruleset = ruleset.create()?;
    let writes = AccessFs::from_all(NEWEST) & !AccessFs::Execute;
    let mut files = vec![
        (rights.read(), READ),
        (rights.written(), writes),
        (rights.devices(), AccessFs::ReadFile | AccessFs::IoctlDev),
    ];
    if rights.has(&Right::Execute) {
        files.push((
            BTreeSet::from([PathBuf::from("/")]),
            READ | AccessFs::Execute,
        ));
    }
    for (paths, access) in files {
        // What has gone meanwhile takes no rule.
        for path in paths.iter().filter_map(|it| PathFd::new(it).ok()) {
            ruleset = ruleset.add_rule(PathBeneath::new(path, access))?;
        }
    }
    for port in connected.into_iter().flatten() {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    for port in rights.listened() {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
    }
    Ok(ruleset)
}

/// Whether the service manager has an abstract socket, which is outside of the program.
fn is_notified_by_name() -> bool {
    let socket = std::env::var_os("NOTIFY_SOCKET");
    socket.is_some_and(|it| it.as_encoded_bytes().starts_with(b"@"))
}
