//! Taking a statistics descriptor of another process: for the moment of one read. Nothing is held: as long as such a
//! descriptor is open, a VM whose process has died lives on in the kernel. Nothing between taking and closing waits.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvm_stats::FormatError;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use crate::kvm_file::KvmFile;
use crate::layout::{Layout, Layouts};
use crate::procfs::{Procfs, boot_unix_nano};

/// A process that has VMs, by a descriptor that pins nothing and tells of its end.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pidfd: OwnedFd,
    /// When the kernel was booted, unix ns, by the clock as it was when this was found.
    boot: u64,
    /// Whether a file of it is being closed that was no statistics: until then nothing more is taken of it.
    is_closing: Arc<AtomicBool>,
}

/// Why a block was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeError {
    /// The process has ended.
    Gone,
    /// The descriptor is closed, or another one than it was.
    Moved,
    /// This program may not take it.
    Refused,
    /// This process, or the host, has no descriptor left.
    Exhausted,
    /// What is in it is none of KVM's statistics.
    Format(FormatError),
    /// Anything else.
    Other(Errno),
}

/// A descriptor of statistics, and what is known of its block.
#[derive(Debug)]
pub(crate) struct Block {
    process: Arc<Process>,
    fd: i32,
    /// How it was opened. A VM and a vCPU can be written to, and what `open(2)` gave has O_LARGEFILE.
    flags: OFlags,
    pub(crate) layout: Arc<Layout>,
    mark: Box<[u8]>,
    /// The thread that made the VM or the vCPU, and which one it is: `kvm-12771/vcpu-0`.
    pub(crate) id: String,
    /// When that thread was started, unix ns; 0 if it has ended.
    pub(crate) start: u64,
}

impl Process {
    /// The process of this number.
    pub(crate) fn open(pid: i32) -> Result<Process, Errno> {
        let number = Pid::from_raw(pid).ok_or(Errno::INVAL)?;
        let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())?;
        Ok(Process {
            pid,
            pidfd,
            boot: boot_unix_nano(),
            is_closing: Arc::default(),
        })
    }

    /// Which of them have ended.
    pub(crate) fn ended(all: &[Arc<Process>]) -> Vec<i32> {
        let mut fds: Vec<PollFd<'_>> = all
            .iter()
            .map(|it| PollFd::new(&it.pidfd, PollFlags::IN))
            .collect();
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if !matches!(rustix::event::poll(&mut fds, Some(&at_once)), Ok(1..)) {
            return Vec::new();
        }
        let ended = all
            .iter()
            .zip(&fds)
            .filter(|(_, it)| !it.revents().is_empty());
        ended.map(|(it, _)| it.pid).collect()
    }

    /// A time since the kernel was booted, as unix ns.
    pub(crate) fn unix_nano(&self, since_boot: u64) -> u64 {
        self.boot.saturating_add(since_boot)
    }

    fn take(&self, fd: i32) -> Result<OwnedFd, TakeError> {
        if self.is_closing.load(Ordering::Relaxed) {
            return Err(TakeError::Moved);
        }
        let taken = rustix::process::pidfd_getfd(&self.pidfd, fd, PidfdGetfdFlags::empty());
        taken.map_err(|error| match error {
            Errno::SRCH => TakeError::Gone,
            Errno::BADF => TakeError::Moved,
            Errno::PERM | Errno::ACCESS => TakeError::Refused,
            Errno::MFILE | Errno::NFILE => TakeError::Exhausted,
            other => TakeError::Other(other),
        })
    }

    /// Closes what is no statistics, on a thread of its own: whoever serves a file may let who closes it wait for ever.
    fn close_elsewhere(&self, taken: OwnedFd) {
        self.is_closing.store(true, Ordering::Relaxed);
        let is_closing = Arc::clone(&self.is_closing);
        let close = move || {
            drop(taken);
            is_closing.store(false, Ordering::Relaxed);
        };
        // Where there is no thread to be had it was closed by that.
        if std::thread::Builder::new()
            .name("close".into())
            .spawn(close)
            .is_err()
        {
            self.is_closing.store(false, Ordering::Relaxed);
        }
    }
}

impl Block {
    /// Reads a descriptor for the first time: it is what it was found to be, by the link's name, before it is read.
    pub(crate) fn open(
        process: &Arc<Process>,
        (fd, file): (i32, KvmFile),
        procfs: &Procfs,
        layouts: &mut Layouts,
        read: impl Fn(&OwnedFd) -> Result<Vec<u8>, Errno>,
    ) -> Result<Block, TakeError> {
        if !file.is_statistics() {
            return Err(TakeError::Moved);
        }
        let taken = process.take(fd)?;
        let found = procfs.own_descriptor(taken.as_raw_fd());
        let flags = rustix::fs::fcntl_getfl(&taken);
        let (Some(true), Ok(flags)) = (found.map(|it| it == file), flags) else {
            process.close_elsewhere(taken);
            return Err(TakeError::Moved);
        };
        let bytes = read(&taken);
        drop(taken);
        let bytes = bytes.map_err(TakeError::Other)?;
        let (layout, id) = layouts.of_file(&bytes).map_err(TakeError::Format)?;
        let mark = layout.mark(&bytes).unwrap_or_default();
        let start = creator(&id).and_then(|it| procfs.thread_start(process.pid, it));
        Ok(Block {
            start: start.map_or(0, |it| process.unix_nano(it)),
            process: Arc::clone(process),
            fd,
            flags,
            layout,
            mark,
            id,
        })
    }

    /// Reads the whole file into a buffer, by one call. A descriptor that has become another one is found by how it was opened,
    /// before it is read, or by what it reads.
    pub(crate) fn read(&self, buffer: &mut Vec<u8>) -> Result<(), TakeError> {
        buffer.resize(self.layout.file_bytes, 0);
        let taken = self.process.take(self.fd)?;
        if rustix::fs::fcntl_getfl(&taken) != Ok(self.flags) {
            self.process.close_elsewhere(taken);
            return Err(TakeError::Moved);
        }
        let read = rustix::io::pread(&taken, &mut **buffer, 0);
        drop(taken);
        match read {
            Ok(n) if n == buffer.len() && self.layout.has_mark(buffer, &self.mark) => Ok(()),
            // No file that can be read from anywhere: no statistics, then.
            Ok(_) | Err(Errno::SPIPE | Errno::INVAL | Errno::BADF | Errno::ISDIR) => {
                Err(TakeError::Moved)
            }
            Err(error) => Err(TakeError::Other(error)),
        }
    }

    /// Whose it is.
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid
    }
}

/// The thread that an id names.
fn creator(id: &str) -> Option<i32> {
    let thread = id.strip_prefix("kvm-")?.split('/').next()?;
    thread.parse().ok()
}
