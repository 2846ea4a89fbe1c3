//! What surrounds the process and forbids BPF, asked of /proc and securityfs: the kernel's own error says less.

use std::{fs, io};

use rustix::thread::{SecureComputingMode, secure_computing_mode};

use crate::{LoadError, capabilities};

/// The kernel's first pid and user namespace, by their numbers (include/linux/proc_ns.h): fixed for all times.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// The first thing that forbids it.
pub(crate) fn check() -> Result<(), LoadError> {
    if is_elsewhere("/proc/self/ns/user", FIRST_USER_NAMESPACE)? {
        return Err(LoadError::UserNamespace);
    }
    let missing = capabilities::missing().map_err(LoadError::Io)?;
    if !missing.is_empty() {
        return Err(LoadError::Capabilities(missing));
    }
    if is_elsewhere("/proc/self/ns/pid", FIRST_PID_NAMESPACE)? {
        return Err(LoadError::PidNamespace);
    }
    if is_confidential(&fs::read_to_string(LOCKDOWN).unwrap_or_default()) {
        return Err(LoadError::Lockdown);
    }
    Ok(())
}

/// What a refusal (EPERM, EACCES) of `bpf(2)` means here.
pub(crate) fn refused() -> LoadError {
    let mode = secure_computing_mode();
    LoadError::Refused {
        is_filtered: matches!(mode, Ok(SecureComputingMode::Filter)),
    }
}

fn is_elsewhere(link: &str, first: &str) -> Result<bool, LoadError> {
    match fs::read_link(link) {
        Ok(target) => Ok(target.as_os_str() != first),
        // A kernel without namespaces of this kind.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LoadError::Io(error)),
    }
}

/// The mode in force is in brackets.
fn is_confidential(lockdown: &str) -> bool {
    lockdown.contains("[confidentiality]")
}

#[cfg(test)]
mod tests {
    use super::is_confidential;

    #[test]
    fn the_mode_of_lockdown_is_the_one_in_brackets() {
        assert!(is_confidential("none integrity [confidentiality]\n"));
        assert!(!is_confidential("none [integrity] confidentiality\n"));
        assert!(!is_confidential(""));
    }
}
