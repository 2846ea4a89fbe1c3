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
    /// The VMs that were made.
    pub(crate) made: Vec<HeardVm>,
    /// Those that have ended.
    pub(crate) ended: Vec<HeardVm>,
    /// There was more than the socket could hold.
    pub(crate) is_overrun: bool,
}

/// A VM as an event names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeardVm {
    /// The thread that has made it.
    pub(crate) thread: i32,
    /// Its descriptor; only a kernel with debugfs tells.
    pub(crate) fd: Option<i32>,
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
                Ok(((event, _), _)) => {
                    heard.made.extend(vm(event, b"create"));
                    heard.ended.extend(vm(event, b"destroy"));
                }
                Err(Errno::NOBUFS) => heard.is_overrun = true,
                Err(Errno::INTR) => {}
                Err(_) => return heard,
            }
        }
    }
}

/// The VM to which this has happened, if an event tells of that: `change@…kvm`, then `KEY=VALUE`, a NUL after each.
fn vm(event: &[u8], happened: &[u8]) -> Option<HeardVm> {
    let fields = || event.split(|it| *it == 0);
    let value = |key: &[u8]| fields().find_map(|it| it.strip_prefix(key));
    let is_it = value(b"DEVNAME=") == Some(b"kvm") && value(b"EVENT=") == Some(happened);
    let thread = value(b"PID=").filter(|_| is_it)?;
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    let path = value(b"STATS_PATH=");
    let fd = path.and_then(|it| number(it.rsplit(|it| *it == b'-').next()?));
    let thread = number(thread)?;
    Some(HeardVm { thread, fd })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_vm_that_was_made_or_has_ended_is_heard() {
        let event = |text: &str| vm(text.replace('|', "\0").as_bytes(), b"create");
        let made = "change@/devices/virtual/misc/kvm|ACTION=change|SUBSYSTEM=misc|CREATED=27|COUNT=3|EVENT=create|PID=1201|STATS_PATH=/kvm/1201-12|DEVNAME=kvm|SEQNUM=1|";
        let expected = |fd| Some(HeardVm { thread: 1201, fd });
        assert_eq!(event(made), expected(Some(12)));
        let without_debugfs = made.replace("STATS_PATH=/kvm/1201-12|", "");
        assert_eq!(event(&without_debugfs), expected(None));
        let ended = made.replace("=create", "=destroy").replace('|', "\0");
        assert_eq!(event(&ended), None);
        assert_eq!(vm(ended.as_bytes(), b"destroy"), expected(Some(12)));
        assert_eq!(event(&made.replace("NAME=kvm", "NAME=sda")), None);
        assert_eq!(event(""), None);
        assert_eq!(event("EVENT=create|PID=x|DEVNAME=kvm"), None);
    }
}
