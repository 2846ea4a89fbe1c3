//! What a component needs of the system while it runs.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that a component needs of the system beyond its own memory: `service.sandbox` leaves it to the process, and
/// takes away what no component needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Right {
    /// To read this file, or the one that takes its place, or what is below this directory. It may come later.
    Read(PathBuf),
    /// To read what is below this directory, which may also go and come again, as what is mounted there.
    ReadTree(PathBuf),
    /// To read all of the file system that this path is on, or will be on: links below it may lead anywhere there.
    ReadFileSystem(PathBuf),
    /// To read, make, change and remove this file, or what is below this directory. It may come later.
    Write(PathBuf),
    /// To read this device, and to control it by [ioctl(2)](https://man7.org/linux/man-pages/man2/ioctl.2.html). It has to be
    /// there.
    Device(PathBuf),
    /// To find the addresses of hosts by their names.
    Resolve,
    /// To connect to this TCP port, of whatever host.
    Connect(u16),
    /// To connect to any TCP port.
    ConnectAnywhere,
    /// To listen on this TCP port; 0: on one that the kernel chooses.
    Listen(u16),
    /// To listen on a socket at this path.
    ListenAt(PathBuf),
    /// To look into other processes, as at `/proc/PID/fd`: what ptrace's rules protect. No file can be kept from a program
    /// that may do so, by the rules of Landlock.
    OtherProcesses,
    /// The same, and to take descriptors of them
    /// ([pidfd_getfd(2)](https://man7.org/linux/man-pages/man2/pidfd_getfd.2.html)).
    OthersDescriptors,
    /// To load a BPF program.
    Bpf,
    /// To start other programs.
    Execute,
    /// To have this capability, as [capabilities(7)](https://man7.org/linux/man-pages/man7/capabilities.7.html) calls it:
    /// `CAP_SYS_RAWIO`. Those that the others of these rights take need not be named.
    Capability(&'static str),
}

impl Right {
    /// To connect to this host, a name or an address, IPv6 in brackets or not.
    #[must_use]
    pub fn connect(host: &str, port: u16) -> Vec<Right> {
        Right::at_host(host, Right::Connect(port))
    }

    /// To listen on a port of this host's address; an empty host is each of its addresses.
    #[must_use]
    pub fn listen(host: &str, port: u16) -> Vec<Right> {
        Right::at_host(host, Right::Listen(port))
    }

    fn at_host(host: &str, right: Right) -> Vec<Right> {
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() || host.parse::<IpAddr>().is_ok() {
            vec![right]
        } else {
            vec![right, Right::Resolve]
        }
    }
}

/// In words, as what a component does.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Right::Read(path) => write!(f, "reads {}", path.display()),
            Right::ReadTree(path) => write!(f, "reads all below {}", path.display()),
            Right::ReadFileSystem(path) => {
                write!(f, "reads the whole file system of {}", path.display())
            }
            Right::Write(path) => write!(f, "writes {}", path.display()),
            Right::Device(path) => write!(f, "controls {}", path.display()),
            Right::Resolve => f.write_str("finds hosts by their names"),
            Right::Connect(port) => write!(f, "connects to TCP port {port}"),
            Right::ConnectAnywhere => f.write_str("connects to any TCP port"),
            Right::Listen(0) => f.write_str("listens on a TCP port that the kernel chooses"),
            Right::Listen(port) => write!(f, "listens on TCP port {port}"),
            Right::ListenAt(path) => write!(f, "listens at {}", path.display()),
            Right::OtherProcesses => f.write_str("looks into other processes"),
            Right::OthersDescriptors => f.write_str("takes descriptors of other processes"),
            Right::Bpf => f.write_str("loads a BPF program"),
            Right::Execute => f.write_str("starts other programs"),
            Right::Capability(name) => write!(f, "has {name}"),
        }
    }
}

/// Finds out the rights.
type FindRights = Box<dyn FnOnce() -> Vec<Right> + Send>;

/// What a component has said that it needs. Clones are the same.
#[derive(Clone, Default)]
pub struct Needs(Arc<Mutex<Option<Vec<FindRights>>>>);

impl Needs {
    pub(crate) fn add(&self, rights: impl FnOnce() -> Vec<Right> + Send + 'static) {
        self.lock().get_or_insert_default().push(Box::new(rights));
    }

    /// All of it, once: where the component has said nothing, nobody knows what it needs, and this is `None`. It may look at
    /// the file system.
    #[must_use]
    pub fn take(&self) -> Option<Vec<Right>> {
        let all = self.lock().take()?;
        Some(all.into_iter().flat_map(|find| find()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<FindRights>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needs").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_no_names() {
        for host in ["10.0.0.1", "::1", "[::1]", ""] {
            assert_eq!(Right::listen(host, 80), [Right::Listen(80)], "{host}");
        }
        let named = [Right::Connect(4317), Right::Resolve];
        assert_eq!(Right::connect("localhost", 4317), named);
    }

    #[test]
    fn what_is_said_is_asked_when_it_is_taken_and_silence_is_not_nothing() {
        let needs = Needs::default();
        assert_eq!(needs.take(), None);
        needs.add(Vec::new);
        assert_eq!(needs.take(), Some(Vec::new()));
        needs.clone().add(|| vec![Right::Bpf]);
        needs.add(|| vec![Right::Execute]);
        assert_eq!(needs.take(), Some(vec![Right::Bpf, Right::Execute]));
    }
}
