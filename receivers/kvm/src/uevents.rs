//! KVM's uevents: which thread has made a VM. They come to anybody, but not in the network namespace of a container with
//! users of its own, where nothing is heard and nothing says so.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// The group of what the kernel sends itself, and not a daemon.
const KERNEL: u32 = 1;

/// A socket that hears them.
#[derive(Debug)]
pub(crate) struct Uevents(OwnedFd);

/// What was heard since the last time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The threads that have made VMs.
    pub(crate) threads: Vec<i32>,
    /// There was more than the socket could hold.
    pub(crate) is_overrun: bool,
}

impl Uevents {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Uevents, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            flags,
            Some(netlink::KOBJECT_UEVENT),
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
        Ok(Uevents(socket))
    }

    /// What came since it was last asked.
    pub(crate) fn heard(&self) -> Heard {
        let mut heard = Heard::default();
        let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
        loop {
            match rustix::net::recv(&self.0, &mut buffer, RecvFlags::empty()) {
                Ok(((event, _), _)) => heard.threads.extend(creator(event)),
                Err(Errno::NOBUFS) => heard.is_overrun = true,
                Err(Errno::INTR) => {}
                Err(_) => return heard,
            }
        }
    }
}

/// The thread that has made a VM, if an event tells of that: `change@…kvm`, then `KEY=VALUE`, a NUL after each.
fn creator(event: &[u8]) -> Option<i32> {
    let fields = || event.split(|it| *it == 0);
    let value = |key: &[u8]| fields().find_map(|it| it.strip_prefix(key));
    let is_made = value(b"DEVNAME=") == Some(b"kvm") && value(b"EVENT=") == Some(b"create");
    let thread = value(b"PID=").filter(|_| is_made)?;
    std::str::from_utf8(thread).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_vm_that_was_made_is_heard() {
        let event = |text: &str| creator(text.replace('|', "\0").as_bytes());
        let made = "change@/devices/virtual/misc/kvm|ACTION=change|SUBSYSTEM=misc|CREATED=27|COUNT=3|EVENT=create|PID=1201|STATS_PATH=/kvm/1201-12|DEVNAME=kvm|SEQNUM=1|";
        assert_eq!(event(made), Some(1201));
        assert_eq!(event(&made.replace("=create", "=destroy")), None);
        assert_eq!(event(&made.replace("NAME=kvm", "NAME=sda")), None);
        assert_eq!(event(""), None);
        assert_eq!(event("EVENT=create|PID=x|DEVNAME=kvm"), None);
    }
}
