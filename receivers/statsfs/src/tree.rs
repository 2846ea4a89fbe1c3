//! The tree as it was last seen: directories, their files and labels. A scan is rare; a sweep reads known files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline::{Attributes, Declared, Series, Source};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::complaints::Complaints;
use crate::config::Format;
use crate::name::{escape, shorten};
use crate::plan::Plan;
use crate::read::{Listed, list, open_directory, read_whole};
use crate::schema::{self, Schema};
use crate::watch::{Happened, Watch};

/// A directory's number, never used twice.
pub(crate) type DirectoryId = u64;

/// A directory of the tree.
#[derive(Debug)]
pub(crate) struct Directory {
    parent: Option<DirectoryId>,
    /// Below the root, as the kernel spells it; empty for the root.
    pub(crate) below: PathBuf,
    /// The path with the subsystem first, as text: `kvm/1-2/vcpu0`; empty for a root of subsystems.
    pub(crate) path: Arc<str>,
    /// The subsystem, and how many directories below it this one is; `None` for a root of subsystems.
    pub(crate) subsystem: Option<(Arc<str>, usize)>,
    inode: u64,
    children: BTreeMap<Box<CStr>, DirectoryId>,
    files: BTreeMap<Arc<CStr>, File>,
    schema: Option<Arc<Schema>>,
    attributes: Arc<Attributes>,
    /// Since when its counters count, unix ns; 0 where that is not known.
    pub(crate) since: u64,
    /// The kernel tells of changes in it; otherwise it is listed.
    watched: bool,
    held: Option<OwnedFd>,
}

/// A regular file.
#[derive(Debug)]
struct File {
    mode: u32,
    same_name_below: bool,
    /// Another directory has the same series already.
    duplicate: bool,
}

/// What a check of the tree found.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Files that came, in path order.
    pub(crate) begun: Vec<Found>,
    /// Directories that went, with all their files.
    pub(crate) ended_directories: Vec<DirectoryId>,
    /// Files that went, in directories that stay.
    pub(crate) ended_files: Vec<(DirectoryId, Arc<CStr>)>,
    /// Files whose series is another than before.
    pub(crate) changed: Vec<Found>,
}

/// A file that can be read, and its series.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) directory: DirectoryId,
    pub(crate) subsystem: Arc<str>,
    pub(crate) file: Arc<CStr>,
    pub(crate) format: Format,
    pub(crate) since: u64,
    pub(crate) series: Series,
}

/// What time it is, and was, for the starts of what appears.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// When the kernel was booted, unix ns.
    pub(crate) boot: u64,
    /// Now, unix ns.
    pub(crate) now: u64,
}

/// A metric's name, and its file's name as text.
type Spelt = (Arc<str>, Arc<str>);

/// Directories that are held open between sweeps; the others are opened when their turn comes.
const MOST_HELD: usize = 256;

/// File systems whose objects live as long as the kernel, but for what comes later.
const KERNEL: [&str; 7] = [
    "statsfs", "stats_fs", "debugfs", "sysfs", "proc", "tracefs", "cgroup2",
];

/// A tree that is there.
pub(crate) struct Tree {
    plan: Arc<Plan>,
    root_path: PathBuf,
    root: OwnedFd,
    identity: (u64, u64),
    pub(crate) filesystem: Arc<str>,
    directories: HashMap<DirectoryId, Directory>,
    top: DirectoryId,
    next: DirectoryId,
    watch: Watch,
    held: usize,
    /// Spellings that many directories share.
    files: HashMap<Box<CStr>, Arc<CStr>>,
    names: HashMap<(Arc<str>, Arc<CStr>), Spelt>,
    /// The first declaration of each metric holds for all.
    declared: HashMap<Arc<str>, Arc<Declared>>,
    /// Directories of a subsystem that have the same labels.
    same_labels: HashMap<(Arc<str>, Arc<Attributes>), Vec<DirectoryId>>,
    /// When the tree was last checked, unix ns; 0 at the first scan.
    checked: u64,
    /// When the last sweep of it ended, unix ns.
    pub(crate) swept: u64,
    pending: Changes,
}

impl Tree {
    /// Opens the root; nothing is scanned yet.
    pub(crate) fn open(
        plan: Arc<Plan>,
        root_path: PathBuf,
        filesystem_of: impl Fn(u64) -> String,
        boot: u64,
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
        let watch = Watch::new(&filesystem);
        let mut tree = Tree {
            plan,
            root_path,
            root,
            identity: (stat.st_dev, stat.st_ino),
            filesystem,
            directories: HashMap::new(),
            top: 0,
            next: 0,
            watch,
            held: 0,
            files: HashMap::new(),
            names: HashMap::new(),
            declared: HashMap::new(),
            same_labels: HashMap::new(),
            checked: 0,
            swept: 0,
            pending: Changes::default(),
        };
        let since = if tree.is_kernel() { boot } else { 0 };
        tree.top = tree.insert(None, PathBuf::new(), path, subsystem, stat.st_ino, since);
        Ok(tree)
    }

    /// Whether the root is still the directory that was opened.
    pub(crate) fn is_there(&self) -> bool {
        rustix::fs::stat(&self.root_path)
            .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.identity)
    }

    /// Looks for changes: all of the tree at the first call and where `whole` says so; else what the kernel told of,
    /// and the directories that hold devices where it tells nothing.
    pub(crate) fn check(
        &mut self,
        whole: bool,
        clock: Clock,
        complaints: &mut Complaints,
    ) -> Changes {
        let happened = self.watch.take();
        if whole || self.checked == 0 || happened == Happened::Anything {
            self.let_go();
            self.refresh(self.top, true, clock, complaints);
        } else if let Happened::In(changed) = happened {
            let mut silent: Vec<DirectoryId> = self
                .directories
                .iter()
                .filter(|(_, it)| !it.watched && self.holds_devices(it))
                .map(|(id, _)| *id)
                .collect();
            silent.sort_unstable();
            for id in silent.into_iter().chain(changed) {
                self.refresh(id, false, clock, complaints);
            }
        }
        self.checked = clock.now.max(1);
        std::mem::take(&mut self.pending)
    }

    /// How many directories there are.
    pub(crate) fn len(&self) -> usize {
        self.directories.len()
    }

    /// Calls `with` with the open directory. Its descriptor is kept for the next sweep, up to a number of them.
    pub(crate) fn with_open<T>(
        &mut self,
        id: DirectoryId,
        with: impl FnOnce(&OwnedFd) -> T,
    ) -> Result<T, Errno> {
        let directory = self.directories.get_mut(&id).ok_or(Errno::NOENT)?;
        if let Some(held) = &directory.held {
            return Ok(with(held));
        }
        let links = self.plan.follow_links && directory.below.components().count() == 1;
        let opened = open_directory(self.root.as_fd(), &directory.below, links)?;
        let result = with(&opened);
        if self.held < MOST_HELD {
            directory.held = Some(opened);
            self.held += 1;
        }
        Ok(result)
    }

    /// Lets all held directories go: a rescan opens them anew.
    fn let_go(&mut self) {
        self.directories
            .values_mut()
            .for_each(|directory| directory.held = None);
        self.held = 0;
    }

    /// Whether what is there at the first scan lives as long as the kernel.
    fn is_kernel(&self) -> bool {
        KERNEL.contains(&&*self.filesystem)
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
        below: PathBuf,
        path: Arc<str>,
        subsystem: Option<(Arc<str>, usize)>,
        inode: u64,
        since: u64,
    ) -> DirectoryId {
        let id = self.next;
        self.next += 1;
        // Watched before it is listed: nothing that comes in between is missed.
        let watched = self.watch.add(&self.root_path.join(&below), id);
        let directory = Directory {
            parent,
            below,
            path,
            subsystem,
            inode,
            children: BTreeMap::new(),
            files: BTreeMap::new(),
            schema: None,
            attributes: Arc::default(),
            since,
            watched,
            held: None,
        };
        self.directories.insert(id, directory);
        id
    }

    /// Lists a directory and takes in what changed; what is new is scanned to its depth, with `deep` also what is known.
    fn refresh(&mut self, id: DirectoryId, deep: bool, clock: Clock, complaints: &mut Complaints) {
        let Some(directory) = self.directories.get(&id) else {
            return;
        };
        let (path, below) = (Arc::clone(&directory.path), directory.below.clone());
        let most = self.plan.limits.directory_entries;
        let listed = match self
            .with_open(id, |fd| list(fd.as_fd(), most))
            .and_then(|listed| listed)
        {
            Ok(listed) => listed,
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) if id != self.top => {
                return self.end(id);
            }
            Err(errno) => {
                let cause = if errno == Errno::ACCESS {
                    "cannot be listed: permission denied"
                } else {
                    "cannot be listed"
                };
                let shown = if path.is_empty() {
                    crate::root::shown(&self.root_path)
                } else {
                    path.to_string()
                };
                return complaints.add_once("directories_failed", "directory", cause, shown);
            }
        };
        if listed.overflow {
            complaints.add_once(
                "entries_refused",
                "limit",
                "has more entries than `limits.directory_entries`",
                path.to_string(),
            );
        }
        let (children, files, has_schema) = self.sort_out(id, &listed, complaints);

        let directory = &self.directories[&id];
        let is_known = |name: &CStr, child: &DirectoryId| {
            let known = self.directories.get(child).map(|it| &it.inode);
            children.get(name) == known
        };
        let gone = directory
            .children
            .iter()
            .filter(|(name, child)| !is_known(name, child));
        let gone: BTreeMap<Box<CStr>, DirectoryId> =
            gone.map(|(name, child)| (name.clone(), *child)).collect();
        gone.values().for_each(|child| self.end(*child));

        self.take_schema(id, has_schema, complaints);
        self.take_files(id, files, complaints);

        let since = |tree: &Tree, below: &Path| tree.since(id, below, clock);
        for (name, inode) in children {
            if let Some(known) = self.directories[&id].children.get(&name).copied() {
                if deep {
                    self.refresh(known, true, clock, complaints);
                }
                continue;
            }
            let child_below = below.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            let text = escape(name.to_bytes());
            let (child_path, subsystem) = match &self.directories[&id].subsystem {
                None => (text.clone(), Some((Arc::from(text), 0))),
                Some((subsystem, depth)) => (
                    format!("{path}/{text}"),
                    Some((Arc::clone(subsystem), depth + 1)),
                ),
            };
            let since = since(self, &child_below);
            // It took another's place, whose series it goes on with: since that was last read.
            let since = if gone.contains_key(&name) {
                since.max(self.swept)
            } else {
                since
            };
            let child = self.insert(
                Some(id),
                child_below,
                child_path.into(),
                subsystem,
                inode,
                since,
            );
            if let Some(directory) = self.directories.get_mut(&id) {
                directory.children.insert(name, child);
            }
            self.refresh(child, true, clock, complaints);
        }
    }

    /// What of a listing is looked into: directories with their inodes, regular files, and whether there is a `.schema`.
    #[allow(clippy::type_complexity)]
    fn sort_out(
        &mut self,
        id: DirectoryId,
        listed: &Listed,
        complaints: &mut Complaints,
    ) -> (BTreeMap<Box<CStr>, u64>, BTreeSet<Box<CStr>>, bool) {
        let directory = &self.directories[&id];
        let (mut children, mut files, mut has_schema) = (BTreeMap::new(), BTreeSet::new(), false);
        let depth = directory.below.components().count();
        let takes_files = directory.subsystem.as_ref().is_some_and(|(_, depth)| {
            self.plan
                .layout
                .as_ref()
                .is_none_or(|layout| layout.takes_files(*depth))
        });
        for (name, kind, inode) in &listed.entries {
            let is_link = *kind == FileType::Symlink && self.plan.follow_links && id == self.top;
            match kind {
                _ if name.to_bytes() == b".schema" => has_schema = true,
                _ if name.to_bytes().starts_with(b".") => {}
                FileType::RegularFile if takes_files => drop(files.insert(name.clone())),
                _ if *kind == FileType::Directory || is_link => {
                    let text = escape(name.to_bytes());
                    let taken = match &directory.subsystem {
                        None => self.plan.subsystems.takes(&text),
                        Some((_, 0)) if !self.plan.devices.takes(&text) => false,
                        Some((_, depth)) => self
                            .plan
                            .layout
                            .as_ref()
                            .is_none_or(|layout| layout.takes_directory(*depth, &text)),
                    };
                    if taken && depth >= self.plan.limits.depth {
                        complaints.add_once(
                            "directories_refused",
                            "limit",
                            "is deeper than `limits.depth`",
                            format!("{}/{text}", directory.path),
                        );
                    } else if taken {
                        children.insert(name.clone(), *inode);
                    }
                }
                _ => {}
            }
        }
        (children, files, has_schema)
    }

    /// Since when a directory that is seen for the first time counts.
    fn since(&self, parent: DirectoryId, below: &Path, clock: Clock) -> u64 {
        let (parent_since, subsystem) = self
            .directories
            .get(&parent)
            .map_or((0, None), |it| (it.since, it.subsystem.clone()));
        let name = below
            .file_name()
            .map(OsStrExt::as_bytes)
            .unwrap_or_default();
        match subsystem {
            // debugfs's kvm/<pid>-<fd> was made with its VM: 6 ms after its creation was seen.
            Some((subsystem, 0))
                if &*self.filesystem == "debugfs" && &*subsystem == "kvm" && is_vm(name) =>
            {
                let stat = rustix::fs::statat(&self.root, below, AtFlags::SYMLINK_NOFOLLOW);
                let made = stat.map_or(0, |stat| {
                    u64::try_from(stat.st_mtime).unwrap_or_default() * 1_000_000_000
                        + stat.st_mtime_nsec
                });
                if made > 0 && made <= clock.now {
                    made
                } else {
                    self.checked
                }
            }
            // What came with a directory that came later, came with it.
            Some(_) if self.checked == 0 && parent_since > 0 => parent_since,
            _ if self.checked == 0 => {
                if self.is_kernel() {
                    clock.boot
                } else {
                    0
                }
            }
            _ => self.checked.max(parent_since),
        }
    }

    /// Reads the `.schema` of a directory that is looked at, and sets its labels.
    fn take_schema(&mut self, id: DirectoryId, present: bool, complaints: &mut Complaints) {
        let most = usize::try_from(self.plan.limits.schema_bytes.0).unwrap_or(usize::MAX);
        let read = present.then(|| {
            self.with_open(id, |fd| read_whole(fd.as_fd(), c".schema", most))
                .and_then(|it| it)
        });
        let Some(directory) = self.directories.get(&id) else {
            return;
        };
        let path = Arc::clone(&directory.path);
        let schema = match read {
            None => None,
            Some(Ok(bytes)) if bytes.len() > most => {
                complaints.add_once(
                    "schemas_failed",
                    "too_large",
                    "is larger than `limits.schema_bytes`",
                    format!("{path}/.schema"),
                );
                None
            }
            Some(Ok(bytes)) => Some(Arc::new(schema::parse(&String::from_utf8_lossy(&bytes)))),
            Some(Err(_)) => {
                complaints.add_once(
                    "schemas_failed",
                    "io",
                    "cannot be read",
                    format!("{path}/.schema"),
                );
                None
            }
        };
        for (line, why) in schema.iter().flat_map(|schema| &schema.problems) {
            complaints.add_once(
                "schema_lines_failed",
                "schema",
                "is not understood",
                format!("{path}/.schema:{line}: {why}: it"),
            );
        }
        let Some((subsystem, depth)) = directory.subsystem.clone() else {
            return;
        };
        let parts: Vec<&str> = path.split('/').collect();
        let parts = &parts[parts.len() - depth..];
        let attributes = self.plan.attributes(
            schema.as_ref().and_then(|schema| schema.labels.as_ref()),
            parts,
        );
        if attributes == *directory.attributes && !directory.files.is_empty() {
            return self.set(id, |directory| directory.schema = schema);
        }
        // Other labels are other series: the old ones end.
        self.end_files(id);
        let key = (subsystem, Arc::new(attributes));
        let shared = self.same_labels.entry(key.clone()).or_default();
        if !shared.contains(&id) {
            shared.push(id);
        }
        self.set(id, |directory| {
            directory.schema = schema;
            directory.attributes = key.1;
        });
    }

    fn set(&mut self, id: DirectoryId, change: impl FnOnce(&mut Directory)) {
        if let Some(directory) = self.directories.get_mut(&id) {
            change(directory);
        }
    }

    fn take_files(
        &mut self,
        id: DirectoryId,
        files: BTreeSet<Box<CStr>>,
        complaints: &mut Complaints,
    ) {
        let Some((subsystem, _)) = self.directories[&id].subsystem.clone() else {
            return;
        };
        let directory = &self.directories[&id];
        let gone: Vec<Arc<CStr>> = directory
            .files
            .keys()
            .filter(|name| !files.contains(&***name))
            .cloned()
            .collect();
        if let (Some(schema), path) = (directory.schema.clone(), Arc::clone(&directory.path)) {
            let texts: BTreeSet<&[u8]> = files.iter().map(|name| name.to_bytes()).collect();
            for (name, entry) in schema
                .metrics
                .iter()
                .filter(|(name, _)| !texts.contains(name.as_bytes()))
            {
                complaints.add_once(
                    "schema_lines_failed",
                    "schema",
                    "is not understood",
                    format!("{path}/.schema:{}: `{name}` has no file: it", entry.line),
                );
            }
        }
        for name in gone {
            self.set(id, |directory| {
                directory.files.remove(&name);
            });
            self.pending.ended_files.push((id, name));
        }
        let known = &self.directories[&id].files;
        let files = files
            .into_iter()
            .filter(|name| !known.contains_key(&**name));
        let files: Vec<Arc<CStr>> = files
            .map(|name| {
                Arc::clone(
                    self.files
                        .entry(name)
                        .or_insert_with_key(|name| Arc::from(&**name)),
                )
            })
            .collect();
        let modes = self.with_open(id, |fd| {
            let mode = |name: &Arc<CStr>| {
                rustix::fs::statat(fd, &**name, AtFlags::SYMLINK_NOFOLLOW)
                    .map(|stat| stat.st_mode & 0o7777)
            };
            files.iter().map(mode).collect::<Vec<_>>()
        });
        for (name, mode) in files.into_iter().zip(modes.unwrap_or_default()) {
            // What cannot be looked at has gone since it was listed.
            let Ok(mode) = mode else { continue };
            self.mark_above(id, &name, complaints);
            let twin = self.twin(id, &subsystem, &name);
            if let Some(twin) = &twin {
                let directory = &self.directories[&id];
                let subject = format!(
                    "{}/{}: a series of the same name and labels as {twin}: it",
                    directory.path,
                    escape(name.to_bytes())
                );
                complaints.add_once("series_refused", "duplicate", "is left out", subject);
            }
            let file = File {
                mode,
                same_name_below: self.stands_below(id, &name),
                duplicate: twin.is_some(),
            };
            self.set(id, |directory| {
                directory.files.insert(Arc::clone(&name), file);
            });
            if twin.is_none() {
                let found = self.found(id, &name, complaints);
                let checked = self.checked;
                self.pending.begun.extend(found.map(|found| Found {
                    since: if checked == 0 {
                        found.since
                    } else {
                        found.since.max(checked)
                    },
                    ..found
                }));
            }
        }
    }

    /// The path of a file with the same name in another directory with the same labels.
    fn twin(&self, id: DirectoryId, subsystem: &Arc<str>, name: &Arc<CStr>) -> Option<Arc<str>> {
        let key = (
            Arc::clone(subsystem),
            Arc::clone(&self.directories[&id].attributes),
        );
        let others = self
            .same_labels
            .get(&key)?
            .iter()
            .filter(|other| **other != id)
            .filter_map(|other| self.directories.get(other));
        let mut twins =
            others.filter(|other| other.files.get(name).is_some_and(|file| !file.duplicate));
        twins.next().map(|twin| Arc::clone(&twin.path))
    }

    /// A name that comes below makes those above it candidates for sums.
    fn mark_above(&mut self, id: DirectoryId, name: &Arc<CStr>, complaints: &mut Complaints) {
        let mut above = self.directories[&id].parent;
        while let Some(at) = above {
            let Some(directory) = self.directories.get_mut(&at) else {
                return;
            };
            above = directory.parent;
            let Some(file) = directory
                .files
                .get_mut(name)
                .filter(|file| !file.same_name_below)
            else {
                continue;
            };
            file.same_name_below = true;
            if file.duplicate {
                continue;
            }
            // One that begins in this very check is made anew in its place.
            let found = self.found(at, name, complaints);
            let begun = self
                .pending
                .begun
                .iter_mut()
                .rev()
                .find(|it| it.directory == at && it.file == *name);
            match (begun, found) {
                (Some(begun), Some(found)) => *begun = found,
                (None, found) => self.pending.changed.extend(found),
                _ => {}
            }
        }
    }

    /// Whether a directory below has a file of this name. Only what is listed after its children can say so.
    fn stands_below(&self, id: DirectoryId, name: &Arc<CStr>) -> bool {
        let children = self
            .directories
            .get(&id)
            .into_iter()
            .flat_map(|it| it.children.values());
        children.into_iter().any(|child| {
            self.directories
                .get(child)
                .is_some_and(|it| it.files.contains_key(name))
                || self.stands_below(*child, name)
        })
    }

    /// The series of a file.
    fn found(
        &mut self,
        id: DirectoryId,
        name: &Arc<CStr>,
        complaints: &mut Complaints,
    ) -> Option<Found> {
        let directory = self.directories.get(&id)?;
        let file = directory.files.get(name)?;
        let (subsystem, _) = directory.subsystem.clone()?;
        let (metric, text) = self
            .names
            .entry((Arc::clone(&subsystem), Arc::clone(name)))
            .or_insert_with(|| {
                let text = escape(name.to_bytes());
                (shorten(format!("{subsystem}/{text}")).into(), text.into())
            });
        let entry = directory
            .schema
            .as_ref()
            .and_then(|schema| schema.metrics.get(&**text));
        let declared = entry.map(|entry| {
            let first = self
                .declared
                .entry(Arc::clone(metric))
                .or_insert_with(|| Arc::clone(&entry.declared));
            if first.kind != entry.declared.kind {
                let subject = format!(
                    "{}/.schema:{}: `{text}` has another FLAG than in a directory before: it",
                    directory.path, entry.line
                );
                complaints.add_once(
                    "schema_lines_failed",
                    "schema",
                    "is not understood",
                    subject,
                );
                let mut kept = (*entry.declared).clone();
                kept.kind = first.kind;
                return Arc::new(kept);
            }
            Arc::clone(if **first == *entry.declared {
                first
            } else {
                &entry.declared
            })
        });
        let mut source = Source::new(Arc::clone(&directory.path), Arc::clone(text));
        source.mode = file.mode;
        source.filesystem = Arc::clone(&self.filesystem);
        source.declared = declared;
        source.same_name_below = file.same_name_below;
        let format = self
            .plan
            .format(&directory.path, text, entry.and_then(|entry| entry.format));
        let mut series = Series::new(Arc::clone(metric), Arc::clone(&directory.attributes));
        series.source = Some(Arc::new(source));
        Some(Found {
            directory: id,
            subsystem,
            file: Arc::clone(name),
            format,
            since: directory.since,
            series,
        })
    }

    /// Ends the files of a directory that stays.
    fn end_files(&mut self, id: DirectoryId) {
        let Some(directory) = self.directories.get_mut(&id) else {
            return;
        };
        let files = std::mem::take(&mut directory.files);
        let key = directory
            .subsystem
            .clone()
            .map(|(subsystem, _)| (subsystem, Arc::clone(&directory.attributes)));
        self.pending
            .ended_files
            .extend(files.into_keys().map(|name| (id, name)));
        let shared = key.and_then(|key| Some((self.same_labels.get_mut(&key)?, key)));
        if let Some((shared, key)) = shared {
            shared.retain(|other| *other != id);
            if shared.is_empty() {
                self.same_labels.remove(&key);
            }
        }
    }

    /// Ends a directory and all below it.
    fn end(&mut self, id: DirectoryId) {
        self.end_files(id);
        self.pending
            .ended_files
            .retain(|(directory, _)| *directory != id);
        let Some(directory) = self.directories.remove(&id) else {
            return;
        };
        self.held -= usize::from(directory.held.is_some());
        directory
            .children
            .into_values()
            .for_each(|child| self.end(child));
        if let Some(parent) = directory
            .parent
            .and_then(|parent| self.directories.get_mut(&parent))
        {
            parent.children.retain(|_, child| *child != id);
        }
        self.pending.ended_directories.push(id);
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
