//! Why the statistics cannot be had by BPF, and what would mend it.

use std::{error, fmt, io};

use crate::btf::Malformed;

/// Why the program could not be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The thread lacks these.
    Capabilities(Vec<&'static str>),
    /// The process is in a pid namespace of its own: what is open in the host's processes is not seen there.
    PidNamespace,
    /// The process is in a user namespace of its own, in which no capability is worth anything to `bpf(2)`.
    UserNamespace,
    /// Kernel lockdown forbids BPF programs to read the kernel's memory.
    Lockdown,
    /// `bpf(2)` is refused, although the capabilities are there.
    Refused {
        /// A seccomp filter is in place.
        is_filtered: bool,
    },
    /// The kernel's type information cannot be read.
    NoBtf(&'static str, io::Error),
    /// The kernel's type information is not what this reader knows.
    Malformed(&'static str, Malformed),
    /// No type of KVM is known to the kernel.
    NoKvm,
    /// KVM is built otherwise than is known here.
    NoMember {
        /// The struct that lacks it.
        structure: &'static str,
        /// The member, or its path through structs in the struct.
        path: &'static str,
    },
    /// The statistics have a form that the program does not read.
    Unreadable {
        /// The struct that holds them.
        structure: &'static str,
        /// Their size.
        bytes: u32,
    },
    /// Linux is older than 5.8.
    NoIterator,
    /// The program is for machines that have the lower byte of a number first.
    BigEndian,
    /// The kernel does not take the program, with its own last words.
    Rejected(String),
    /// What is asked of the system before.
    Io(io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capabilities(missing) => {
                write!(f, "{} missing: bpf needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN", list(missing))
            }
            Self::PidNamespace => f.write_str(
                "the process is in a pid namespace of its own, from which the host's VMs are not seen: give it the host's (hostPID: true, --pid=host)",
            ),
            Self::UserNamespace => f.write_str(
                "the process is in a user namespace of its own, in which the kernel refuses bpf(2): run it in the host's",
            ),
            Self::Lockdown => f.write_str(
                "kernel lockdown is \"confidentiality\", which forbids bpf to read kernel memory: \"integrity\" allows it",
            ),
            Self::Refused { is_filtered: true } => f.write_str(
                "a seccomp filter refuses bpf(2): allow that system call (systemd: SystemCallFilter=bpf, containers: a seccomp profile)",
            ),
            Self::Refused { is_filtered: false } => f.write_str(
                "bpf(2) is refused although the capabilities are there: a security module (AppArmor, SELinux, bpf) forbids it",
            ),
            Self::NoBtf(path, error) => {
                write!(f, "cannot read {path}, where the kernel (CONFIG_DEBUG_INFO_BTF) has its types: {error}")
            }
            Self::Malformed(path, error) => write!(f, "{path} is not the type information that is known here: {error}"),
            Self::NoKvm => f.write_str(
                "the kernel's type information has no struct kvm_vcpu: KVM is not loaded (modprobe kvm), or has no BTF",
            ),
            Self::NoMember { structure, path } => write!(f, "struct {structure} of this kernel has no {path}"),
            Self::Unreadable { structure, bytes } => {
                write!(f, "the statistics of struct {structure} ({bytes} bytes) have a form that is not known here")
            }
            Self::NoIterator => f.write_str("the kernel has no iterator over open files: Linux 5.8 or newer has"),
            Self::BigEndian => f.write_str("there is no BPF program for big-endian machines (s390x)"),
            Self::Rejected(reason) => write!(f, "the kernel does not take the BPF program: {reason}"),
            Self::Io(error) => write!(f, "what bpf needs cannot be asked for: {error}"),
        }
    }
}

impl error::Error for LoadError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NoBtf(_, error) | Self::Io(error) => Some(error),
            Self::Malformed(_, error) => Some(error),
            _ => None,
        }
    }
}

fn list(capabilities: &[&str]) -> String {
    let verb = if capabilities.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", capabilities.join(" and "))
}

/// Why a pass gave nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum PassError {
    /// The iterator could not be opened, or read to its end.
    Io(io::Error),
    /// What it wrote is not what the program writes.
    Malformed(&'static str),
    /// What was read contradicts what is known: the kernel's members lie elsewhere than its type information says.
    Contradiction(String),
}

impl fmt::Display for PassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the iterator over open files cannot be read: {error}"),
            Self::Malformed(what) => write!(
                f,
                "the iterator over open files gave what is no record: {what}"
            ),
            Self::Contradiction(what) => write!(
                f,
                "the kernel's type information does not fit what it runs (was KVM loaded anew?), nothing is taken: {what}"
            ),
        }
    }
}

impl error::Error for PassError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for PassError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
