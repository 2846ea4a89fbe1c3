//! The tree as it was last seen: directories, their files and labels. A scan is rare; a sweep reads known files.

mod changes;
mod directory;
mod file_list;
mod files;
mod interner;
mod labels;
mod refresh;
mod remove;
mod select;
mod start_time;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::{Attributes, FdBudget, SourceDirectory};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::inotify::{ChangeProbe, WatchResult, Watcher};
use crate::directory_id::DirectoryId;
use crate::failure_log::FailureLog;
use crate::plan::Plan;
use crate::read::syscalls::open_directory;
pub(crate) use changes::{Changes, DirectoryRef, DiscoveredFile};
use directory::{Directory, OpenDirectory};
use file_list::FileList;
use interner::Interner;
pub(crate) use start_time::ScanTimes;

/// Takes the changes that a scan finds.
pub(crate) type ChangeSink = Box<dyn FnMut(Changes) + Send>;

/// The first scan hands its changes over after this many directories.
const FIRST_SCAN_DIRECTORIES: usize = 64;

/// The maximum of polled directories that are kept open; the others are opened for each scan.
const MAX_OPEN_DIRECTORIES: usize = 64;

/// File systems whose objects start with the kernel, unless they are created later.
const KERNEL_FILESYSTEMS: [&str; 7] = [
    "statsfs", "stats_fs", "debugfs", "sysfs", "proc", "tracefs", "cgroup2",
];

/// The directories and files below an open root.
pub(crate) struct Tree {
    plan: Arc<Plan>,
    root_path: PathBuf,
    root: Arc<OwnedFd>,
    identity: (u64, u64),
    pub(crate) filesystem: Arc<str>,
    directories: HashMap<DirectoryId, Directory>,
    root_id: DirectoryId,
    next_id: DirectoryId,
    watcher: Watcher,
    /// Links in the root that were not followed.
    links_passed: usize,
    open_directories: usize,
    fd_budget: FdBudget,
    interner: Interner,
    /// Directories of a subsystem that have the same labels.
    same_labels: HashMap<(Arc<str>, Arc<Attributes>), Vec<DirectoryId>>,
    /// When the tree was last scanned, unix ns; 0 at the first scan.
    pub(crate) last_scan: u64,
    /// Whether it was scanned at all.
    is_scanned: bool,
    /// Duplicates: files whose series another file already is, as long as that file exists.
    duplicates: BTreeSet<(DirectoryId, Arc<CString>)>,
    /// Polled directories: they hold devices and have no inotify watch, and are listed at each scan.
    polled: BTreeSet<DirectoryId>,
    /// When the last sweep of it ended, unix ns.
    pub(crate) last_sweep_end: u64,
    changes: Changes,
    current_directory: Arc<Mutex<String>>,
    sink: ChangeSink,
}

impl Tree {
    /// Opens the root; nothing is scanned yet. `boot` is when the kernel was booted, `absent_at` when the root was last
    /// looked for and missing, unix ns, 0 for never; `current_directory` is set to the directory that is being listed;
    /// `sink` takes the changes.
    pub(crate) fn open(
        plan: Arc<Plan>,
        root_path: PathBuf,
        filesystem_of: impl Fn(u64) -> String,
        (boot, absent_at): (u64, u64),
        current_directory: Arc<Mutex<String>>,
        fd_budget: FdBudget,
        sink: ChangeSink,
    ) -> Result<Tree, Errno> {
        let root = rustix::fs::open(
            &root_path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        )?;
        let stat = rustix::fs::fstat(&root)?;
        let filesystem: Arc<str> = filesystem_of(stat.st_dev).into();
        let subsystem = plan.subsystem.clone().map(|name| (name, 0));
        let path = plan.subsystem.clone().unwrap_or_default();
        let watcher = Watcher::new(&filesystem);
        watcher.add_root(&root_path);
        let mut tree = Tree {
            plan,
            root_path,
            root: Arc::new(root),
            identity: (stat.st_dev, stat.st_ino),
            filesystem,
            directories: HashMap::new(),
            root_id: 0,
            next_id: 0,
            watcher,
            links_passed: 0,
            open_directories: 0,
            fd_budget,
            interner: Interner::default(),
            same_labels: HashMap::new(),
            last_scan: absent_at,
            is_scanned: false,
            duplicates: BTreeSet::new(),
            polled: BTreeSet::new(),
            last_sweep_end: 0,
            changes: Changes::default(),
            current_directory,
            sink,
        };
        let start_time = match absent_at {
            0 if tree.is_kernel_filesystem() => boot,
            absent_at => absent_at,
        };
        tree.root_id = tree.insert(
            None,
            Path::new("").into(),
            path,
            subsystem,
            stat.st_ino,
            start_time,
        );
        Ok(tree)
    }

    /// Whether the root is still the directory that was opened.
    pub(crate) fn is_root_unchanged(&self) -> bool {
        rustix::fs::stat(&self.root_path)
            .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.identity)
    }

    /// Scans for changes: the whole tree at the first call and with `full`; else only handles inotify events
    /// and the polled directories.
    pub(crate) fn scan(&mut self, full: bool, times: ScanTimes, failure_log: &FailureLog) {
        let root_id = self.root_id;
        match self.watcher.read_events() {
            WatchResult::Events(mut events) if !full && self.is_scanned => {
                for id in events.removed.into_iter().filter(|id| *id != root_id) {
                    // A directory with the same inode may have replaced it.
                    events
                        .changed
                        .extend(self.directories.get(&id).and_then(|it| it.parent));
                    self.remove_directory(id);
                }
                events.changed.extend(&self.polled);
                for (id, name) in events.subdirectories {
                    if !events.changed.contains(&id) {
                        self.refresh_entry(id, &name, times, failure_log);
                    }
                }
                for id in events.changed {
                    self.refresh(id, false, times, failure_log);
                }
            }
            _ => {
                self.close_directories();
                self.interner.forget_unused();
                self.refresh(self.root_id, true, times, failure_log);
            }
        }
        self.retry_duplicates(failure_log);
        self.is_scanned = true;
        self.last_scan = times.now.max(1);
        (self.sink)(std::mem::take(&mut self.changes));
    }

    /// Hands over the changes of a first scan so far, to bound memory.
    fn flush_first_scan(&mut self) {
        if !self.is_scanned && self.changes.added.len() >= FIRST_SCAN_DIRECTORIES {
            (self.sink)(std::mem::take(&mut self.changes));
        }
    }

    /// Why there is nothing to sweep, as far as the tree can tell.
    pub(crate) fn why_nothing(&self) -> String {
        match self
            .directories
            .values()
            .map(|it| it.files.len())
            .sum::<usize>()
        {
            0 if self.links_passed > 0 => format!(
                "{} links passed over; `follow_links: true` follows those in the root",
                self.links_passed
            ),
            0 => "no file matches `layout`, `subsystems` and `devices`".into(),
            files => format!("{files} files, which nothing downstream wants"),
        }
    }

    /// How many directories there are.
    pub(crate) fn len(&self) -> usize {
        self.directories.len()
    }

    /// Tells that a scan would find nothing; none where directories are polled.
    pub(crate) fn change_probe(&self) -> Option<&Arc<ChangeProbe>> {
        self.watcher
            .change_probe()
            .filter(|_| self.polled.is_empty())
    }

    /// Calls `with` with the open directory. Polled directories are kept open, up to a maximum.
    fn with_open<T>(
        &mut self,
        id: DirectoryId,
        with: impl FnOnce(&OwnedFd) -> T,
    ) -> Result<T, Errno> {
        let directory = self.directories.get(&id).ok_or(Errno::NOENT)?;
        if let Some(directory) = &directory.open {
            return Ok(with(&directory.fd));
        }
        let follow_link = self.is_link_followed(directory);
        let fd = open_directory(self.root.as_fd(), &directory.below, follow_link)?;
        let result = with(&fd);
        if self.polled.contains(&id)
            && self.open_directories < MAX_OPEN_DIRECTORIES
            && self.fd_budget.take()
        {
            let fd_budget = self.fd_budget.clone();
            self.update(id, |it| it.open = Some(OpenDirectory { fd, fd_budget }));
            self.open_directories += 1;
        }
        Ok(result)
    }

    /// Sets the directory that is being listed, for the warning should it not answer.
    fn set_current_directory(&self, path: &str) {
        let mut current = self
            .current_directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        current.clear();
        current.push_str(path);
    }

    /// Whether a directory may be a symbolic link: only in the root, and with `follow_links`.
    fn is_link_followed(&self, directory: &Directory) -> bool {
        self.plan.follow_links && directory.below.components().count() == 1
    }

    /// A reference to a directory, for its files.
    pub(crate) fn directory_ref(&self, id: DirectoryId) -> Option<DirectoryRef> {
        let directory = self.directories.get(&id)?;
        Some(DirectoryRef {
            directory: id,
            subsystem: directory.subsystem.as_ref()?.0.clone(),
            below: Arc::clone(&directory.below),
            follow_link: self.is_link_followed(directory),
        })
    }

    /// The root itself, open.
    pub(crate) fn root(&self) -> &Arc<OwnedFd> {
        &self.root
    }

    /// Closes all polled directories: a rescan opens them again.
    fn close_directories(&mut self) {
        self.directories
            .values_mut()
            .for_each(|directory| directory.open = None);
        self.open_directories = 0;
    }

    /// A directory's path for messages: a root of subsystems has none of its own.
    fn display_path(&self, path: &str) -> String {
        if path.is_empty() {
            super::mount::display_path(&self.root_path)
        } else {
            path.to_owned()
        }
    }

    /// Whether objects that exist at the first scan started with the kernel.
    fn is_kernel_filesystem(&self) -> bool {
        KERNEL_FILESYSTEMS.contains(&&*self.filesystem)
    }

    fn holds_devices(&self, directory: &Directory) -> bool {
        match (&directory.subsystem, &self.plan.layout) {
            (None, _) => true,
            (Some((_, depth)), Some(layout)) => layout.holds_devices(*depth),
            (Some((_, depth)), None) => *depth == 0 || !directory.children.is_empty(),
        }
    }

    fn insert(
        &mut self,
        parent: Option<DirectoryId>,
        below: Arc<Path>,
        path: Arc<str>,
        subsystem: Option<(Arc<str>, usize)>,
        inode: u64,
        start_time: u64,
    ) -> DirectoryId {
        let id = self.next_id;
        self.next_id += 1;
        // The watch is added before the listing, so that no entry in between is missed.
        let watch = self.watcher.add(&self.root_path.join(&below), id);
        let source = SourceDirectory::new(Arc::clone(&path), Arc::clone(&self.filesystem));
        let directory = Directory {
            parent,
            below,
            path,
            source: Arc::new(source),
            subsystem,
            inode,
            children: BTreeMap::new(),
            files: FileList::default(),
            schema: None,
            attributes: Arc::default(),
            start_time,
            watch,
            open: None,
        };
        self.directories.insert(id, directory);
        id
    }

    fn update(&mut self, id: DirectoryId, change: impl FnOnce(&mut Directory)) {
        if let Some(directory) = self.directories.get_mut(&id) {
            change(directory);
        }
    }
}
