//! The tree as it was last seen: directories, their files and labels. A scan is rare; a sweep reads known files.

mod changes;
mod created;
mod directory;
mod file_list;
mod files;
mod interner;
mod labels;
mod left_out;
mod links;
mod refresh;
mod remove;
mod scan;
mod schemas;
mod select;
mod visit;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pipeline::telemetry::FoundTree;
use pipeline::{Attributes, Context, SourceDirectory};

use super::inotify::{ChangeProbe, Watcher};
use crate::directory_id::DirectoryId;
use crate::failure_log::FailureLog;
use crate::plan::Plan;
use crate::root::Root;
pub(crate) use changes::{Changes, DirectoryRef, DiscoveredFile};
pub(crate) use created::Boot;
use directory::{Directory, Listed, OpenDirectory};
use file_list::FileList;
use interner::Interner;
use links::PassedLinks;
pub(crate) use refresh::DOES_NOT_ANSWER;
use schemas::Schemas;
use select::Child;
use visit::VisitScope;
pub(crate) use visit::{Visit, Visited};

/// Takes the changes that a scan finds.
pub(crate) type ChangeSink = Box<dyn FnMut(Changes) + Send>;

/// The maximum of polled directories that are kept open; the others are opened for each scan.
const MAX_OPEN_DIRECTORIES: usize = 64;

/// The directories and files below an open root.
pub(crate) struct Tree {
    plan: Arc<Plan>,
    root_path: PathBuf,
    root: Arc<Root>,
    pub(crate) filesystem: Arc<str>,
    directories: HashMap<DirectoryId, Directory>,
    root_id: DirectoryId,
    next_id: DirectoryId,
    watcher: Watcher,
    /// Links in the root that were not followed.
    links_passed: usize,
    passed_links: PassedLinks,
    open_directories: usize,
    context: Context,
    failure_log: FailureLog,
    interner: Interner,
    schemas: Schemas,
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
    /// Directories below which something was removed in this scan.
    lost_below: BTreeSet<DirectoryId>,
    changes: Changes,
    sink: ChangeSink,
    boot: Boot,
    /// When this scan began, unix ns.
    now: u64,
    /// The highest inode number that was listed so far, selected or not, and when this scan began.
    last_inode: u64,
    last_inode_before: u64,
    last_flush: Instant,
    /// How many files the directories have.
    file_count: usize,
    /// What the scan has still to look at; the last one is next, so that a subtree is finished before what follows it.
    queue: Vec<(DirectoryId, VisitScope)>,
    /// Directories that are being looked at, and whether that has to be done again.
    under_way: BTreeMap<DirectoryId, bool>,
}

impl Tree {
    /// The tree of an open root; nothing is scanned yet. `sink` takes the changes.
    pub(crate) fn new(
        plan: Arc<Plan>,
        (root_path, root): (PathBuf, Root),
        filesystem: Arc<str>,
        boot: Boot,
        context: Context,
        failure_log: FailureLog,
        sink: ChangeSink,
    ) -> Tree {
        let subsystem = plan.subsystem.clone().map(|name| (name, 0));
        let path = plan.subsystem.clone().unwrap_or_default();
        let watcher = Watcher::new(&filesystem, context.watch_budget.clone());
        watcher.add_root(&root_path);
        let (_, inode) = root.identity();
        let is_link = false;
        let mut tree = Tree {
            schemas: Schemas::new(&plan.limits),
            plan,
            root_path,
            root: Arc::new(root),
            filesystem,
            directories: HashMap::new(),
            root_id: 0,
            next_id: 0,
            watcher,
            links_passed: 0,
            passed_links: PassedLinks::default(),
            open_directories: 0,
            context,
            failure_log,
            interner: Interner::default(),
            same_labels: HashMap::new(),
            last_scan: 0,
            is_scanned: false,
            duplicates: BTreeSet::new(),
            polled: BTreeSet::new(),
            lost_below: BTreeSet::new(),
            changes: Changes::default(),
            sink,
            boot,
            now: 0,
            last_inode: 0,
            last_inode_before: 0,
            last_flush: Instant::now(),
            file_count: 0,
            queue: Vec::new(),
            under_way: BTreeMap::new(),
        };
        let below = Path::new("").into();
        tree.root_id = tree.insert(None, below, path, subsystem, Child { inode, is_link });
        tree
    }

    /// Why there is nothing to sweep, as far as the tree can tell.
    pub(crate) fn why_nothing(&self) -> String {
        match self.file_count {
            0 if self.links_passed > 0 => format!(
                "{} links passed over; `follow_links: true` follows those in the root",
                self.links_passed
            ),
            0 if self.plan.layout.is_some() && self.plan.subsystem.is_none() => {
                "no file matches `layout`, `subsystems` and `devices`; without `subsystem` each directory in the root is one, and `layout` is about what is below it".into()
            }
            0 => "no file matches `layout`, `subsystems` and `devices`".into(),
            files => format!("{files} files, which nothing downstream wants"),
        }
    }

    /// The subsystems, and whether each has a device, be it one that is not selected. Where there is no directory for a
    /// device in the layout, none is missing.
    pub(crate) fn found(&self) -> FoundTree {
        let layout = self.plan.layout.as_ref();
        let wants_none = layout.is_some_and(|layout| !layout.holds_devices(0));
        let subsystems = self.directories.values().filter_map(|it| {
            let (name, _) = it.subsystem.as_ref().filter(|(_, depth)| *depth == 0)?;
            Some((Arc::clone(name), it.has_device || wants_none))
        });
        FoundTree(subsystems.collect())
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

    /// Keeps a polled directory open, up to a maximum of them.
    fn keep_open(&mut self, id: DirectoryId, fd: Arc<OwnedFd>) {
        let is_open = self.directories.get(&id).is_none_or(|it| it.open.is_some());
        if !is_open
            && self.polled.contains(&id)
            && self.open_directories < MAX_OPEN_DIRECTORIES
            && self.context.fd_budget.take()
        {
            let fd_budget = self.context.fd_budget.clone();
            self.update(id, |it| it.open = Some(OpenDirectory { fd, fd_budget }));
            self.open_directories += 1;
        }
    }

    /// A reference to a directory, for its files.
    pub(crate) fn directory_ref(&self, id: DirectoryId) -> Option<DirectoryRef> {
        let directory = self.directories.get(&id)?;
        Some(DirectoryRef {
            directory: id,
            subsystem: directory.subsystem.as_ref()?.0.clone(),
            below: Arc::clone(&directory.below),
        })
    }

    /// The root itself, open.
    pub(crate) fn root(&self) -> &Arc<Root> {
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
    fn display_path(&self, path: &Arc<str>) -> Arc<str> {
        if path.is_empty() {
            super::mount::display_path(&self.root_path).into()
        } else {
            Arc::clone(path)
        }
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
        entry: Child,
    ) -> DirectoryId {
        let id = self.next_id;
        self.next_id += 1;
        let mut source = SourceDirectory::new(Arc::clone(&path), Arc::clone(&self.filesystem));
        source.created = self.created(parent, entry);
        let directory = Directory {
            parent,
            below,
            path,
            source: Arc::new(source),
            subsystem,
            inode: entry.inode,
            is_link: entry.is_link,
            link_target: None,
            children: BTreeMap::new(),
            files: FileList::default(),
            schema: None,
            attributes: Arc::default(),
            listed: Listed::Never,
            has_device: false,
            has_schema: false,
            schema_bytes: 0,
            watch: None,
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
