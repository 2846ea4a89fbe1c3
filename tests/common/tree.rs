//! Trees that tests make.

use std::fs;
use std::path::Path;

/// On a file system that inotify watches, and that does not use inode numbers again at once.
pub(crate) fn shared_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// A file of the value 1, at this path below the root.
pub(crate) fn file(root: &Path, below: &str) {
    let path = root.join(below);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "1\n").unwrap();
}

/// A device of the subsystem `s`, with one file, `c`.
pub(crate) fn device(root: &Path, name: &str, value: &str) {
    let device = root.join("s").join(name);
    fs::create_dir_all(&device).unwrap();
    fs::write(device.join("c"), format!("{value}\n")).unwrap();
}
