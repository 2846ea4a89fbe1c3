//! The system calls on the tree: read-only, without following links, non-blocking, relative to an open directory.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

/// How files are opened. A FIFO that has taken a file's place opens without a writer, and reads as empty.
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

/// Opens a directory below the root.
pub(crate) fn open_directory(
    root: BorrowedFd<'_>,
    below: &Path,
    follow_link: bool,
) -> Result<OwnedFd, Errno> {
    let follow_link = if follow_link {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    let flags =
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK | follow_link;
    let below = if below.as_os_str().is_empty() {
        Path::new(".")
    } else {
        below
    };
    rustix::fs::openat(root, below, flags, Mode::empty())
}

/// Lists an open directory from its start, at most `max` entries.
pub(crate) fn list(directory: BorrowedFd<'_>, max: usize) -> Result<DirectoryListing, Errno> {
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut listed = DirectoryListing::default();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if listed.entries.len() >= max {
            listed.is_truncated = true;
            break;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            kind = stat.map_or(FileType::Unknown, |stat| {
                FileType::from_raw_mode(stat.st_mode)
            });
        }
        listed.entries.push((name.into(), kind, entry.ino()));
    }
    Ok(listed)
}

/// One entry of an open directory, as a listing has it; none where it does not exist.
pub(crate) fn stat_entry(directory: BorrowedFd<'_>, name: &CStr) -> DirectoryListing {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    let entry = stat.map(|it| (name.into(), FileType::from_raw_mode(it.st_mode), it.st_ino));
    DirectoryListing {
        entries: entry.into_iter().collect(),
        is_truncated: false,
    }
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

/// The whole file, or its first `max` + 1 bytes.
pub(crate) fn read_whole(
    directory: BorrowedFd<'_>,
    name: &CStr,
    max: usize,
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
