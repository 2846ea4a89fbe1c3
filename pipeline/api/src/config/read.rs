//! Files that the configuration names: regular ones of a bounded size, which are never waited for.

use std::fs::{File, FileType};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// The most bytes of a configuration, and of a file that a component is built from.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// Reads a regular file of at most so many bytes. A pipe, a device or a socket is refused before a byte of it is read.
///
/// # Errors
/// What the operating system says; what it is, if it is no regular file; that it is larger.
pub fn read_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    // Asked first: opening alone does something to some devices, and a socket cannot be opened.
    assert_regular(std::fs::metadata(path)?.file_type())?;
    // Another file may have taken its place since.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(open(path, flags, Mode::empty())?);
    assert_regular(file.metadata()?.file_type())?;
    read_bounded(file, max_bytes)
}

/// The most bytes of a file that is a value.
const MAX_VALUE_BYTES: u64 = 1 << 20;

/// Reads a file that is a value, as `${file:path}` has it: text of 1 MiB at the most, without the line break at its end.
///
/// # Errors
/// What the operating system says; what it is, if it is no regular file, or no UTF-8; that it is larger.
pub fn read_value(path: &Path) -> Result<String> {
    let bytes = read_file(path, MAX_VALUE_BYTES)?;
    let no_text = |_| Error::new(ErrorKind::InvalidData, "it is not UTF-8");
    let mut text = String::from_utf8(bytes).map_err(no_text)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Reads all of it, unless there are more than so many bytes.
///
/// # Errors
/// What the operating system says; that there is more.
pub fn read_bounded(from: impl Read, max_bytes: u64) -> Result<Vec<u8>> {
    // A file's size is not asked for: those of procfs and sysfs have none.
    let mut bytes = Vec::new();
    from.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let text = format!("it has more than {} MiB", max_bytes >> 20);
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

fn assert_regular(file_type: FileType) -> Result<()> {
    let what = match file_type {
        it if it.is_file() => return Ok(()),
        it if it.is_dir() => "a directory",
        it if it.is_fifo() => "a FIFO",
        it if it.is_socket() => "a socket",
        _ => "a device",
    };
    let text = format!("it is {what}, not a regular file");
    Err(Error::new(ErrorKind::InvalidInput, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_those_without_a_size_too() {
        let why = |path: &str| read_file(Path::new(path), 1 << 20).unwrap_err().to_string();
        assert_eq!(why("/dev/zero"), "it is a device, not a regular file");
        assert_eq!(why("/"), "it is a directory, not a regular file");
        assert!(why("/no/such").contains("No such file"));
        // Size 0, and yet not empty.
        let status = read_file(Path::new("/proc/self/status"), 1 << 20).unwrap();
        assert!(status.starts_with(b"Name:"));
    }

    #[test]
    fn no_more_is_read_than_may_be() {
        let read = |bytes: usize| read_bounded(&vec![0; bytes][..], 1 << 20);
        assert_eq!(read(1 << 20).unwrap().len(), 1 << 20);
        let why = read((1 << 20) + 1).unwrap_err().to_string();
        assert_eq!(why, "it has more than 1 MiB");
        // What has no end is left when that is known.
        assert!(read_bounded(std::io::repeat(0), 1 << 20).is_err());
    }
}
