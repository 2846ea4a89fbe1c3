//! How changes in the tree are noticed: by inotify where the file system supports it; elsewhere directories are polled.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CStr;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use pipeline::Budget;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::directory_id::DirectoryId;
use crate::root::descriptor_path;

/// File systems that send inotify events for entries that come and go. sysfs does not, and its link counts do not change.
const INOTIFY_FILESYSTEMS: [&str; 13] = [
    "statsfs", "stats_fs", "debugfs", "tracefs", "tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs",
    "btrfs", "f2fs", "overlay",
];

/// The inotify watches on the directories of a tree.
#[derive(Debug)]
pub(crate) struct Watcher {
    inotify: Option<Arc<OwnedFd>>,
    change_probe: Option<Arc<ChangeProbe>>,
    directories: HashMap<i32, Vec<DirectoryId>>,
    budget: Budget,
}

/// What a read of the inotify queue gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WatchResult {
    /// All events since the last read.
    Events(InotifyEvents),
    /// The kernel's queue has overflowed: anything may have changed.
    Overflow,
}

/// Inotify events by kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InotifyEvents {
    /// Directories in which files were created or removed.
    pub(crate) changed: BTreeSet<DirectoryId>,
    /// Subdirectories that were created or removed, by parent and name.
    pub(crate) subdirectories: BTreeSet<(DirectoryId, Box<CStr>)>,
    /// Watched directories that were removed, whatever has replaced them.
    pub(crate) removed: BTreeSet<DirectoryId>,
}

impl Watcher {
    pub(crate) fn new(filesystem: &str, budget: Budget) -> Watcher {
        let is_supported = INOTIFY_FILESYSTEMS.contains(&filesystem);
        let inotify = is_supported
            .then(|| inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok())
            .flatten()
            .map(Arc::new);
        let change_probe = inotify.clone().and_then(ChangeProbe::new);
        Watcher {
            inotify,
            change_probe: change_probe.map(Arc::new),
            directories: HashMap::new(),
            budget,
        }
    }

    /// Whether the file system sends events.
    pub(crate) fn is_supported(&self) -> bool {
        self.inotify.is_some()
    }

    /// Where a visit may add a watch on a directory, which is to be registered then. None if the directory has to be polled:
    /// where no watch is left, for example.
    pub(crate) fn reserve(&self) -> Option<Arc<OwnedFd>> {
        let inotify = self.inotify.as_ref()?;
        self.budget.take().then(|| Arc::clone(inotify))
    }

    /// Registers the watch that a visit has added where it might add one.
    pub(crate) fn register(&mut self, watch: Option<i32>, id: DirectoryId) {
        let known = watch.is_none_or(|watch| self.directories.contains_key(&watch));
        self.budget.give(usize::from(known));
        if let Some(watch) = watch {
            // Two links may lead to one directory.
            self.directories.entry(watch).or_default().push(id);
        }
    }

    /// Removes the watch on a directory, which may have been moved elsewhere.
    pub(crate) fn remove(&mut self, watch: i32, id: DirectoryId) {
        // The kernel has already removed the watch of a directory that was deleted.
        let Some(ids) = self.directories.get_mut(&watch) else {
            return;
        };
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            self.directories.remove(&watch);
            self.budget.give(1);
            if let Some(inotify) = &self.inotify {
                let _ = inotify::remove_watch(inotify, watch);
            }
        }
    }

    /// Adds watches for moves and deletion of the root and of its ancestors.
    pub(crate) fn add_root(&self, path: &Path) {
        let events = WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF | WatchFlags::MASK_ADD;
        for ancestor in path.ancestors() {
            if let Some(inotify) = &self.inotify {
                // Where this fails, the rescan notices the move.
                let _ = inotify::add_watch(inotify, ancestor, events);
            }
        }
    }

    /// Tells without a scan that nothing has changed.
    pub(crate) fn change_probe(&self) -> Option<&Arc<ChangeProbe>> {
        self.change_probe.as_ref()
    }

    /// Reads the events since the last call.
    pub(crate) fn read_events(&mut self) -> WatchResult {
        let mut events = InotifyEvents::default();
        let Some(inotify) = &self.inotify else {
            return WatchResult::Events(events);
        };
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = Reader::new(inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => return WatchResult::Events(events),
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                return WatchResult::Overflow;
            }
            if flags.contains(ReadFlags::IGNORED) {
                if let Some(ids) = self.directories.remove(&event.wd()) {
                    self.budget.give(1);
                    events.removed.extend(ids);
                }
                continue;
            }
            let parents = self.directories.get(&event.wd()).into_iter().flatten();
            match event.file_name() {
                Some(name) if flags.contains(ReadFlags::ISDIR) => {
                    let each = parents.map(|parent| (*parent, Box::from(name)));
                    events.subdirectories.extend(each);
                }
                _ => events.changed.extend(parents),
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.budget.give(self.directories.len());
    }
}

/// Adds a watch on a directory that is open, and not on what its path leads to by now. Returns its descriptor; none if it
/// cannot be watched.
pub(crate) fn add_watch(inotify: &OwnedFd, directory: BorrowedFd<'_>) -> Option<i32> {
    let events = WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::ONLYDIR
        // The root is watched for moves as well.
        | WatchFlags::MASK_ADD;
    inotify::add_watch(inotify, descriptor_path(directory), events).ok()
}

/// Asks the kernel whether nothing has changed: no inotify event, and no mount added or removed.
#[derive(Debug)]
pub(crate) struct ChangeProbe {
    inotify: Arc<OwnedFd>,
    mounts: File,
}

impl ChangeProbe {
    fn new(inotify: Arc<OwnedFd>) -> Option<ChangeProbe> {
        let mounts = File::open("/proc/self/mountinfo").ok()?;
        Some(ChangeProbe { inotify, mounts })
    }

    /// Whether nothing has changed since the last scan. It never blocks.
    pub(crate) fn is_unchanged(&self) -> bool {
        let mut descriptors = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(&self.mounts, PollFlags::PRI),
        ];
        poll(&mut descriptors, Some(&Timespec::default())) == Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn no_more_watches_are_kept_than_there_may_be_and_all_are_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            File::open(path).unwrap()
        };
        let budget = Budget::new(2);
        let mut watcher = Watcher::new("tmpfs", budget.clone());
        let mut add = |name: &str, id| {
            let inotify = watcher.reserve()?;
            let watch = add_watch(&inotify, open(name).as_fd());
            watcher.register(watch, id);
            watch
        };
        let first = add("a", 1).unwrap();
        assert_eq!(
            add("a", 2),
            Some(first),
            "the same directory by another way"
        );
        assert_eq!(budget.left(), 1);
        add("b", 3).unwrap();
        assert_eq!(add("c", 4), None, "none is left");
        watcher.remove(first, 1);
        assert_eq!(budget.left(), 0, "somebody has it still");
        watcher.remove(first, 2);
        assert_eq!(budget.left(), 1);
        std::fs::remove_dir(directory.path().join("b")).unwrap();
        watcher.read_events();
        assert_eq!(budget.left(), 2, "the kernel has removed it");
        watcher.reserve().unwrap();
        watcher.register(None, 5);
        let inotify = watcher.reserve().unwrap();
        watcher.register(add_watch(&inotify, open("d").as_fd()), 6);
        drop(watcher);
        assert_eq!(budget.left(), 2);
    }
}
