//! How a change in the tree is noticed: inotify where the file system speaks; elsewhere directories are listed.

use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::tree::DirectoryId;

/// File systems that tell of entries that come and go. sysfs does not, and its link counts do not move.
const SPEAKING: [&str; 13] = [
    "statsfs", "stats_fs", "debugfs", "tracefs", "tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs",
    "btrfs", "f2fs", "overlay",
];

/// The directories that changed since they were last asked for.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    inotify: Option<OwnedFd>,
    directories: HashMap<i32, Vec<DirectoryId>>,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// In these directories entries came or went; those are no more, whatever stands in their place.
    In(BTreeSet<DirectoryId>, BTreeSet<DirectoryId>),
    /// More than the kernel could tell.
    Anything,
}

impl Watch {
    pub(crate) fn new(filesystem: &str) -> Watch {
        let speaks = SPEAKING.contains(&filesystem);
        let inotify = speaks
            .then(|| inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok())
            .flatten();
        Watch {
            inotify,
            directories: HashMap::new(),
        }
    }

    /// Watches a directory; false if it has to be listed instead.
    pub(crate) fn add(&mut self, path: &Path, id: DirectoryId) -> bool {
        let Some(inotify) = &self.inotify else {
            return false;
        };
        let events = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        // The kernel's own limit of watches is one reason to fail: then it is listed.
        let Ok(watch) = inotify::add_watch(inotify, path, events) else {
            return false;
        };
        // Two links may lead to one directory.
        self.directories.entry(watch).or_default().push(id);
        true
    }

    /// What happened since the last call.
    pub(crate) fn take(&mut self) -> Happened {
        let (mut changed, mut gone) = (BTreeSet::new(), BTreeSet::new());
        let Some(inotify) = &self.inotify else {
            return Happened::In(changed, gone);
        };
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    return Happened::Anything;
                }
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                    gone.extend(self.directories.remove(&event.wd()).unwrap_or_default());
                }
                Ok(event) => {
                    changed.extend(self.directories.get(&event.wd()).into_iter().flatten());
                }
                Err(Errno::INTR) => {}
                Err(_) => return Happened::In(changed, gone),
            }
        }
    }
}
