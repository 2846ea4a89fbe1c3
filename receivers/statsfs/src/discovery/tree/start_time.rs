//! The start time of a directory's counters.

use std::os::unix::ffi::OsStrExt;

use super::Tree;
use super::directory::Directory;
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
    /// The start time of a directory that is new, as far as it is known before it was looked at.
    pub(super) fn start_time(&self, parent: DirectoryId) -> u64 {
        match self.directories.get(&parent) {
            // What is found at its first listing was there with it, however late it answers.
            Some(parent) if !parent.is_listed => parent.start_time,
            parent => parent.map_or(0, |it| it.start_time).max(self.last_scan),
        }
    }

    /// Whether a directory is created with the object that it is of, so that its counters start then: debugfs's
    /// `kvm/<pid>-<fd>` comes with its VM, 6 ms later as measured.
    pub(super) fn has_creation_time(&self, directory: &Directory) -> bool {
        let name = directory.below.file_name().map(OsStrExt::as_bytes);
        let is_kvm = matches!(&directory.subsystem, Some((name, 1)) if &**name == "kvm");
        is_kvm && &*self.filesystem == "debugfs" && name.is_some_and(is_vm)
    }

    /// The start time of a directory whose creation time is this.
    pub(super) fn start_at(&mut self, id: DirectoryId, creation_time: u64) {
        let is_past = creation_time > 0 && creation_time <= self.times.now;
        let start_time = if is_past {
            creation_time
        } else {
            self.last_scan
        };
        self.update(id, |directory| {
            directory.start_time = start_time.max(directory.not_before);
        });
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
