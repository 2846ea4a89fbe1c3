//! The system calls on the tree: read-only, without following links, non-blocking, relative to an open directory.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

/// How files are opened: by one name in a directory that is open, so that no link leads elsewhere. A sweep does not ask of
/// each file again what the scan has seen, that it is a regular one, because nobody can put a worse one in its place: it
/// takes CAP_MKNOD to make a device, and a link to a device in another file system is no hard link; the file systems that a
/// user may mount have no devices (`nodev`). A FIFO opens without a writer and is not waited for; a socket cannot be opened.
const FILE_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

/// A directory's entries.
#[derive(Debug, Default)]
pub(crate) struct DirectoryListing {
    /// Name, type and inode; in no order. `.` and `..` are left out.
    pub(crate) entries: Vec<(Box<CStr>, FileType, u64)>,
    /// The directory has more entries than were asked for.
    pub(crate) is_truncated: bool,
}

/// Lists an open directory from its start, at most `max` entries. One that never ends is given up at `deadline`: the
/// error is ETIMEDOUT.
pub(crate) fn list(
    directory: BorrowedFd<'_>,
    max: usize,
    deadline: Instant,
) -> Result<DirectoryListing, Errno> {
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut listed = DirectoryListing::default();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let (name, mut kind, inode) = (entry.file_name(), entry.file_type(), entry.ino());
        if kind == FileType::Unknown {
            kind = stat_entry(directory, name).map_or(kind, |it| it.kind);
        }
        if !matches!(name.to_bytes(), b"." | b"..") {
            if listed.entries.len() >= max {
                listed.is_truncated = true;
                break;
            }
            listed.entries.push((name.into(), kind, inode));
        }
        if entries.is_buffer_empty() && Instant::now() > deadline {
            return Err(Errno::TIMEDOUT);
        }
    }
    Ok(listed)
}

/// What `stat` says of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryStat {
    pub(crate) kind: FileType,
    pub(crate) inode: u64,
    /// The permission bits.
    pub(crate) mode: u16,
}

/// One entry of an open directory.
pub(crate) fn stat_entry(directory: BorrowedFd<'_>, name: &CStr) -> Result<EntryStat, Errno> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(EntryStat {
        kind: FileType::from_raw_mode(stat.st_mode),
        inode: stat.st_ino,
        mode: u16::try_from(stat.st_mode & 0o7777).unwrap_or_default(),
    })
}

/// Opens a file of an open directory.
pub(crate) fn open_file(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, name, FILE_FLAGS, Mode::empty())
}

/// One bounded read of a file that was just opened; returns how many bytes it read.
pub(crate) fn read(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    retry_interrupted(|| rustix::io::read(file, &mut *buffer))
}

/// The same with `pread` at offset 0: sysfs generates the content again at each read from the start.
pub(crate) fn read_at_start(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    retry_interrupted(|| rustix::io::pread(file, &mut *buffer, 0))
}

/// The whole file, or its first `max` + 1 bytes. Nothing is read of what is no regular file (EINVAL), nor after `deadline`
/// (ETIMEDOUT).
pub(crate) fn read_whole(
    directory: BorrowedFd<'_>,
    name: &CStr,
    max: usize,
    deadline: Instant,
) -> Result<Vec<u8>, Errno> {
    let file = open_file(directory, name)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let (mut all, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    loop {
        match read(&file, &mut chunk)? {
            0 => return Ok(all),
            n => all.extend_from_slice(&chunk[..n]),
        }
        if all.len() > max {
            all.truncate(max.saturating_add(1));
            return Ok(all);
        }
        if Instant::now() > deadline {
            return Err(Errno::TIMEDOUT);
        }
    }
}

fn retry_interrupted(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}
