//! The program takes away from itself what no component needs: after the configuration is read and before anything runs.

mod calls;
mod capabilities;
mod landlock;
mod paths;
mod rights;
mod seccomp;
mod show;

use rustix::thread::set_no_new_privs;

use crate::config::Sandbox;
use capabilities::User;

pub(crate) use rights::{ComponentNeeds, Rights};
pub(crate) use show::show;

/// Takes away from this thread, and those that it starts from now on, what these rights are not.
///
/// # Errors
/// Where it is `strict`, what the kernel cannot take away.
pub(crate) fn enter(sandbox: Sandbox, rights: &Rights) -> Result<(), String> {
    let is_strict = sandbox == Sandbox::Strict;
    if sandbox == Sandbox::Off {
        return Ok(());
    }
    let unknown = rights.unknown();
    let is_unknown = !unknown.is_empty() && !is_strict;
    let mut needed = calls::needed(rights);
    let mut lacking = Vec::new();
    lacking.extend(other_threads());
    let nothing_new = set_no_new_privs(true);
    lacking.extend(nothing_new.err().map(|it| format!("no_new_privs: {it}")));
    if is_unknown {
        let components = unknown.join(", ");
        tracing::info!(
            components,
            "these components do not say what they need: the sandbox takes no more than dangerous system calls away"
        );
        needed.extend(calls::EXECUTE);
    } else {
        lacking.extend(restrict_files(rights));
        let kept = rights.capabilities(&User::own());
        lacking.extend(capabilities::keep_only(kept).err());
    }
    lacking.extend(seccomp::restrict(&needed, is_strict).err());
    if lacking.is_empty() {
        return Ok(());
    }
    let lacking = lacking.join("; ");
    if is_strict {
        return Err(format!(
            "`service.sandbox: strict` cannot be had here, `auto` goes on without: {lacking}"
        ));
    }
    tracing::info!(
        lacking,
        "the sandbox is not whole here; the rest of it holds"
    );
    Ok(())
}

/// Takes files and ports away. What could not be.
fn restrict_files(rights: &Rights) -> Option<String> {
    if rights.looks_into_others() {
        // The kernel would refuse what they do whatever the rules are.
        tracing::info!(
            "a component looks into other processes, which Landlock forbids: no file and no port is taken away from the program"
        );
        return None;
    }
    landlock::restrict(rights).unwrap_or_else(Some)
}

/// Threads have rights of their own: those that run already keep theirs.
fn other_threads() -> Option<String> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    let others = threads.saturating_sub(1);
    (others > 0).then(|| format!("threads that run already keep what they have: {others}"))
}

/// What an error means that the sandbox may be the reason of.
pub(crate) fn explained(mut error: String, sandbox: Sandbox) -> String {
    let is_refused = ["(os error 1)", "(os error 13)"]
        .iter()
        .any(|it| error.contains(it));
    if is_refused && sandbox != Sandbox::Off {
        error.push_str("; if it is the sandbox that refuses it: `inspect --rights` shows what is allowed, `service.sandbox: off` allows all");
    }
    error
}
