//! /proc: which processes there are, what they hold open of KVM, and since when they run.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pipeline::Context;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::identity::MAX_COMMAND_LINE_BYTES;
use crate::kvm_file::KvmFile;

/// A descriptor of a process, and what it is.
pub(crate) type Descriptors = Vec<(i32, KvmFile)>;

/// The host's /proc.
#[derive(Debug)]
pub(crate) struct Procfs {
    root: OwnedFd,
    /// Whether its processes have the numbers that this one knows them by.
    pub(crate) is_own_namespace: bool,
    /// How many command lines are being read.
    being_read: Arc<AtomicUsize>,
}

/// How long a command line is waited for: it is in the process's memory, whose lock one that hangs may hold.
const PATIENCE: Duration = Duration::from_millis(500);

/// So many command lines that do not answer are waited for at the most, each by a thread.
const MAX_BEING_READ: usize = 8;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Procfs {
    /// Opens the host's, or where that is not seen, this process's own: with the host's pid namespace it is the same.
    pub(crate) fn find(context: &Context) -> Result<Procfs, Errno> {
        let host = Procfs::open(&context.host_path("/proc".as_ref()));
        host.or_else(|_| Procfs::open("/proc".as_ref()))
    }

    fn open(path: &Path) -> Result<Procfs, Errno> {
        let root = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
        let own = link(&root, "self", &mut [MaybeUninit::uninit(); 32]).and_then(|it| number(&it));
        let is_own_namespace = own == i32::try_from(std::process::id()).ok();
        Ok(Procfs {
            root,
            is_own_namespace,
            being_read: Arc::default(),
        })
    }

    /// All processes but this one.
    pub(crate) fn processes(&self) -> Result<Vec<i32>, Errno> {
        let own = i32::try_from(std::process::id()).ok();
        let names = list(&self.root, ".")?;
        let pids = names.iter().filter_map(|it| number(it.to_bytes()));
        Ok(pids.filter(|it| Some(*it) != own).collect())
    }

    /// What a process holds open of KVM, in the order of its descriptors.
    pub(crate) fn descriptors(&self, pid: i32) -> Result<Descriptors, Errno> {
        let path = format!("{pid}/fd");
        let directory = rustix::fs::openat(&self.root, path, DIRECTORY, Mode::empty())?;
        let mut all = Vec::new();
        for name in list(&directory, ".")? {
            let Some(fd) = number(name.to_bytes()) else {
                continue;
            };
            match link(&directory, &*name, &mut [MaybeUninit::uninit(); 64]) {
                Some(link) => all.extend(KvmFile::of_link(&link).map(|it| (fd, it))),
                // Closed meanwhile, or not to be seen: which of the two, the first one tells.
                None => refused(&directory, &name)?,
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    /// How many descriptors a process has open; 0 where the kernel does not say (before Linux 6.2).
    pub(crate) fn descriptor_count(&self, pid: i32) -> Result<u64, Errno> {
        let stat = rustix::fs::statat(&self.root, format!("{pid}/fd"), AtFlags::empty())?;
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }

    /// What a descriptor of this process is.
    pub(crate) fn own_descriptor(&self, fd: i32) -> Option<KvmFile> {
        let path = format!("self/fd/{fd}");
        let link = link(&self.root, path, &mut [MaybeUninit::uninit(); 64])?;
        KvmFile::of_link(&link)
    }

    /// A process's command line, the first 64 KiB of it; `None` where it does not answer.
    pub(crate) fn command_line(&self, pid: i32) -> Option<Vec<u8>> {
        let being_read = Arc::clone(&self.being_read);
        let root = self.root.try_clone().ok()?;
        if being_read.fetch_add(1, Ordering::Relaxed) >= MAX_BEING_READ {
            being_read.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (done, answer) = mpsc::channel();
        let read = move || {
            let line = read(&root, &format!("{pid}/cmdline"), MAX_COMMAND_LINE_BYTES);
            being_read.fetch_sub(1, Ordering::Relaxed);
            // Nobody waits any more where it took too long.
            let _ = done.send(match line {
                Err(error) if is_answer(error) => Some(Vec::new()),
                line => line.ok(),
            });
        };
        let thread = std::thread::Builder::new().name("kvm-name".into());
        thread.spawn(read).ok()?;
        answer.recv_timeout(PATIENCE).ok()?
    }

    /// The process that a thread belongs to, if it lives.
    pub(crate) fn process_of(&self, thread: i32) -> Result<Option<i32>, Errno> {
        let status = match read(&self.root, &format!("{thread}/status"), 4096) {
            Err(error) if is_answer(error) => return Ok(None),
            status => status?,
        };
        let status = String::from_utf8_lossy(&status);
        let process = status.lines().find_map(|it| it.strip_prefix("Tgid:"));
        Ok(process.and_then(|it| it.trim().parse().ok()))
    }

    /// A process's parent, and when it was started, ns since the kernel was booted.
    pub(crate) fn parent_and_start(&self, pid: i32) -> Option<(i32, u64)> {
        self.stat(&format!("{pid}/stat"))
    }

    /// When a thread of a process was started, ns since the kernel was booted.
    pub(crate) fn thread_start(&self, pid: i32, thread: i32) -> Option<u64> {
        let stat = self.stat(&format!("{pid}/task/{thread}/stat"));
        stat.map(|(_, start)| start)
    }

    fn stat(&self, path: &str) -> Option<(i32, u64)> {
        let stat = read(&self.root, path, 4096).ok()?;
        let fields = fields_of_stat(&stat)?;
        let ticks: u64 = fields.get(19)?.parse().ok()?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let since_boot = ticks.saturating_mul(1_000_000_000 / per_second);
        Some((fields.get(1)?.parse().ok()?, since_boot))
    }
}

/// Whether an error says what there is: nothing any more, or nothing that this program may see. Others, as that there is no
/// descriptor or memory left, say nothing of it.
pub(crate) fn is_answer(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM
    )
}

/// Whether this program, or the host, has no descriptor or memory left.
pub(crate) fn is_exhausted(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

/// A file below a directory, the first bytes of it.
fn read(root: &OwnedFd, path: &str, max: usize) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, path, flags, Mode::empty())?;
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    while all.len() < max {
        match rustix::io::read(&file, &mut chunk)? {
            0 => break,
            n => all.extend_from_slice(&chunk[..n]),
        }
    }
    all.truncate(max);
    Ok(all)
}

/// Fails where a descriptor's link may not be read.
fn refused(directory: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::readlinkat_raw(directory, name, &mut [MaybeUninit::uninit(); 1]) {
        Err(error) if error == Errno::ACCESS || is_exhausted(error) => Err(error),
        _ => Ok(()),
    }
}

/// The names in a directory.
pub(crate) fn list(directory: impl AsFd, path: &str) -> Result<Vec<Box<CStr>>, Errno> {
    let directory = rustix::fs::openat(directory, path, DIRECTORY, Mode::empty())?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 16 * 1024];
    let mut entries = RawDir::new(&directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        names.push(entry?.file_name().into());
    }
    Ok(names)
}

/// What a link says, if that is shorter than the buffer.
fn link(
    directory: &OwnedFd,
    name: impl rustix::path::Arg,
    buffer: &mut [MaybeUninit<u8>],
) -> Option<Vec<u8>> {
    let room = buffer.len();
    let (text, _) = rustix::fs::readlinkat_raw(directory, name, buffer).ok()?;
    Some(text.to_vec()).filter(|it| it.len() < room)
}

fn number(digits: &[u8]) -> Option<i32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The fields of /proc/PID/stat behind the name of the program, which may hold blanks and parentheses: the state is the
/// first one ([proc_pid_stat(5)](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)).
fn fields_of_stat(stat: &[u8]) -> Option<Vec<&str>> {
    let after = stat.iter().rposition(|it| *it == b')')? + 1;
    let fields = std::str::from_utf8(stat.get(after..)?).ok()?;
    Some(fields.split_ascii_whitespace().collect())
}

/// When the kernel was booted, unix ns, to the 10 ms that starts are known by. It is another time once the clock was set:
/// each process and VM keeps what holds when it is found, so that its starts stay the same.
pub(crate) fn boot_unix_nano() -> u64 {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot = u64::try_from(since_boot.tv_sec).unwrap_or_default() * 1_000_000_000
        + u64::try_from(since_boot.tv_nsec).unwrap_or_default();
    let boot = pipeline::now_unix_nano().saturating_sub(since_boot);
    boot - boot % 10_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_does_not_move_the_fields_of_stat() {
        let stat = b"42 (a) b (c) S 7 42 42 0";
        assert_eq!(fields_of_stat(stat).unwrap()[..2], ["S", "7"]);
        assert_eq!(fields_of_stat(b"42"), None);
    }

    #[test]
    fn this_process_is_found_by_its_own_numbers() {
        let proc = Procfs::open(Path::new("/proc")).unwrap();
        assert!(proc.is_own_namespace);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!proc.processes().unwrap().contains(&own));
        let (_, start) = proc.parent_and_start(own).unwrap();
        assert_eq!(proc.thread_start(own, own), Some(start));
        let start = boot_unix_nano() + start;
        assert!(start <= pipeline::now_unix_nano());
        assert_eq!(proc.descriptors(own).unwrap(), []);
        assert_eq!(proc.process_of(own), Ok(Some(own)));
        assert_eq!(proc.process_of(i32::MAX), Ok(None));
        assert!(!proc.command_line(own).unwrap().is_empty());
        assert_eq!(proc.command_line(i32::MAX), Some(Vec::new()));
    }
}
