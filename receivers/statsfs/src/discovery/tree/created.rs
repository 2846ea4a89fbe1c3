//! What is known of when a directory was created.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use pipeline::Created;

use super::Tree;
use super::directory::{Directory, Listed};
use super::select::Child;
use crate::directory_id::DirectoryId;

/// File systems that number their directories in the order of creation, and where one that is renamed, or moved to another
/// network namespace, keeps its number
/// ([`kernfs_new_node`](https://github.com/torvalds/linux/blob/v6.18/fs/kernfs/dir.c), in this order since Linux 4.14).
const NUMBERED_FILESYSTEMS: [&str; 2] = ["sysfs", "cgroup2"];

/// The kernel's boot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Boot {
    /// When it began, unix ns; 0 where it is not known.
    pub(crate) time: u64,
    /// A directory of sysfs with a lower inode number was created while the kernel booted; 0 where it is not known.
    pub(crate) sysfs_inode: u64,
}

impl Tree {
    /// What is known of the creation of a directory that was found in `parent`. What a link leads to was there before the
    /// link, how long nobody knows; but the links of sysfs' classes and buses, which are roots, are made with the device.
    pub(super) fn created(&self, parent: Option<DirectoryId>, entry: Child) -> Created {
        let inode = entry.inode;
        if &*self.filesystem == "sysfs" && inode < self.boot.sysfs_inode && self.boot.time > 0 {
            return Created::AtBoot(self.boot.time);
        }
        let Some(parent_id) = parent else {
            return Created::Unknown;
        };
        let Some(parent) = self.directories.get(&parent_id) else {
            return Created::Unknown;
        };
        let is_with_link = &*self.filesystem == "sysfs" && parent_id == self.root_id;
        let is_renamed =
            inode <= self.last_inode_before && NUMBERED_FILESYSTEMS.contains(&&*self.filesystem);
        // It was not there when the parent was last looked at; before that, nor was the parent.
        let is_looked_at = parent.watch.is_some() || self.polled.contains(&parent_id);
        match parent.source.created {
            _ if is_renamed || (entry.is_link && !is_with_link) => Created::Unknown,
            _ if parent.listed == Listed::Whole && is_looked_at && self.last_scan > 0 => {
                Created::After(self.last_scan)
            }
            Created::After(time) => Created::After(time),
            _ => Created::Unknown,
        }
    }

    /// Whether the time that a directory was modified is that of its creation: debugfs's `kvm/<pid>-<fd>` comes with its
    /// VM, 6 ms later as measured.
    pub(super) fn has_creation_time(&self, directory: &Directory) -> bool {
        let name = directory.below.file_name().map(OsStrExt::as_bytes);
        let is_kvm = matches!(&directory.subsystem, Some((name, 1)) if &**name == "kvm");
        is_kvm && &*self.filesystem == "debugfs" && name.is_some_and(is_vm)
    }

    /// A directory whose creation time is this, unix ns.
    pub(super) fn set_creation_time(&mut self, id: DirectoryId, time: u64) {
        if time == 0 || time > self.now {
            return;
        }
        self.update(id, |directory| {
            Arc::make_mut(&mut directory.source).created = Created::After(time);
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
