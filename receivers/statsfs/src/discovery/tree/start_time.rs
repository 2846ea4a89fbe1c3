//! The start time of a directory's counters.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::AtFlags;

use super::Tree;
use crate::directory_id::DirectoryId;

/// The times that the start times of new directories are computed from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanTimes {
    /// When the kernel was booted, unix ns.
    pub(crate) boot: u64,
    /// Now, unix ns.
    pub(crate) now: u64,
}

impl Tree {
    /// The start time of a directory that is new.
    pub(super) fn start_time(&self, parent: DirectoryId, below: &Path, times: ScanTimes) -> u64 {
        let (parent_since, subsystem) = self
            .directories
            .get(&parent)
            .map_or((0, None), |it| (it.start_time, it.subsystem.clone()));
        let name = below
            .file_name()
            .map(OsStrExt::as_bytes)
            .unwrap_or_default();
        match subsystem {
            // The debugfs directory kvm/<pid>-<fd> is created with its VM, 6 ms later as measured.
            Some((subsystem, 0))
                if &*self.filesystem == "debugfs" && &*subsystem == "kvm" && is_vm(name) =>
            {
                let stat = rustix::fs::statat(&self.root, below, AtFlags::SYMLINK_NOFOLLOW);
                let creation_time = stat.map_or(0, |stat| {
                    u64::try_from(stat.st_mtime).unwrap_or_default() * 1_000_000_000
                        + stat.st_mtime_nsec
                });
                if creation_time > 0 && creation_time <= times.now {
                    creation_time
                } else {
                    self.last_scan
                }
            }
            // A directory within a new one has the start time of its parent.
            Some(_) if self.last_scan == 0 && parent_since > 0 => parent_since,
            _ if self.last_scan == 0 => {
                if self.is_kernel_filesystem() {
                    times.boot
                } else {
                    0
                }
            }
            _ => self.last_scan.max(parent_since),
        }
    }
}

/// `<pid>-<fd>`, as KVM names a VM's directory.
fn is_vm(name: &[u8]) -> bool {
    let mut halves = name.splitn(2, |byte| *byte == b'-');
    let mut digits = || {
        halves
            .next()
            .is_some_and(|half| !half.is_empty() && half.iter().all(u8::is_ascii_digit))
    };
    digits() && digits()
}
