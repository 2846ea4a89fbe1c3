//! What a scan asks the kernel about one directory. The tree is not needed for it, so a directory that does not answer
//! holds up nothing but itself.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::Budget;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::directory_id::DirectoryId;
use crate::discovery::inotify::add_watch;
use crate::discovery::schema::Schema;
use crate::read::syscalls::{DirectoryListing, EntryStat, list, read_whole, stat_entry};
use crate::root::Root;

/// A directory to look at.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(super) directory: DirectoryId,
    pub(super) scope: VisitScope,
    /// The path with the subsystem first, as text.
    pub(crate) path: Arc<str>,
    pub(super) root: Arc<Root>,
    pub(super) below: Arc<Path>,
    /// The directory, where it is kept open.
    pub(super) open: Option<Arc<OwnedFd>>,
    /// Where to add a watch, if it has none and may have one.
    pub(super) inotify: Option<Arc<OwnedFd>>,
    /// Whether a link leads to it.
    pub(super) is_link: bool,
    /// Whether its `.schema` was read before.
    pub(super) has_schema: bool,
    /// Whether it was modified is asked for.
    pub(super) wants_modified: bool,
    pub(super) max_entries: usize,
    pub(super) max_schema_bytes: usize,
    pub(super) timeout: Duration,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VisitScope {
    /// All entries; with `recursive` also the subdirectories that are known.
    Directory { recursive: bool },
    /// One entry.
    Entry(Box<CStr>),
}

/// A visit that is over.
#[derive(Debug)]
pub(crate) struct Visited {
    /// The watch that it added.
    pub(super) watch: Option<i32>,
    pub(super) found: Result<Found, Errno>,
    deadline: Instant,
}

/// What a visit has found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) open: Arc<OwnedFd>,
    /// Device and inode, if a link leads to it.
    pub(super) link_target: Option<(u64, u64)>,
    pub(super) listing: DirectoryListing,
    pub(super) schema: FoundSchema,
    /// When the directory was modified, unix ns, if that was asked for.
    pub(super) modified: Option<u64>,
    /// What was asked for by `stat`.
    pub(super) stats: BTreeMap<Box<CStr>, EntryStat>,
}

/// What a visit has found of the `.schema`.
#[derive(Debug)]
pub(super) enum FoundSchema {
    /// It is not read again.
    Unread,
    Absent,
    /// Its content, which may be one byte larger than allowed.
    Content(Result<Vec<u8>, Errno>),
    /// It was parsed, or passed over; with its size.
    Parsed(Option<Arc<Schema>>, usize),
}

impl Visit {
    /// Opens, watches and lists the directory, and reads its `.schema`. This may block for ever.
    pub(crate) fn visit(&self) -> Visited {
        let mut visited = Visited {
            watch: None,
            found: Err(Errno::NOENT),
            deadline: Instant::now() + self.timeout,
        };
        let open = if let Some(open) = &self.open {
            Ok(Arc::clone(open))
        } else {
            let opened = self.root.open_directory(&self.below);
            opened.map(Arc::new)
        };
        if let (Ok(open), Some(inotify)) = (&open, &self.inotify) {
            // The watch is added before the listing, so that no entry in between is missed.
            visited.watch = add_watch(inotify, open.as_fd());
        }
        visited.found = open.and_then(|open| self.look(open, visited.deadline));
        visited
    }

    fn look(&self, open: Arc<OwnedFd>, deadline: Instant) -> Result<Found, Errno> {
        let directory = open.as_fd();
        let (mut listing, mut schema) = (DirectoryListing::default(), FoundSchema::Unread);
        let (mut modified, mut link_target) = (None, None);
        if self.is_link {
            let stat = rustix::fs::fstat(directory)?;
            link_target = Some((stat.st_dev, stat.st_ino));
        }
        if self.wants_modified {
            let stat = rustix::fs::fstat(directory)?;
            let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
            modified = Some(
                seconds
                    .saturating_mul(1_000_000_000)
                    .saturating_add(stat.st_mtime_nsec),
            );
        }
        match &self.scope {
            VisitScope::Entry(name) => {
                // An entry that is not there is no error.
                let entry = stat_entry(directory, name).ok();
                listing.entries = entry
                    .map(|it| (name.clone(), it.kind, it.inode))
                    .into_iter()
                    .collect();
            }
            VisitScope::Directory { recursive } => {
                listing = list(directory, self.max_entries, deadline)?;
                let mut names = listing.entries.iter().map(|(name, ..)| name.to_bytes());
                // The `.schema` is read at a full scan, and whenever it is created or removed.
                let is_there = names.any(|name| name == b".schema") || listing.is_truncated;
                if !is_there {
                    schema = FoundSchema::Absent;
                } else if *recursive || !self.has_schema {
                    let max = self.max_schema_bytes;
                    schema = FoundSchema::Content(read_whole(directory, c".schema", max, deadline));
                }
            }
        }
        Ok(Found {
            open,
            link_target,
            listing,
            schema,
            modified,
            stats: BTreeMap::new(),
        })
    }
}

impl Visit {
    /// Returns the watch that it may have added, to a tree that is no more.
    pub(crate) fn return_watch(&self, budget: &Budget) {
        budget.give(usize::from(self.inotify.is_some()));
    }
}

impl Visited {
    /// Asks for some entries; those that are not there are left out. This may block for ever.
    pub(crate) fn stat(&mut self, names: Vec<Box<CStr>>) {
        let Ok(found) = &mut self.found else { return };
        for name in names {
            if let Ok(stat) = stat_entry(found.open.as_fd(), &name) {
                found.stats.insert(name, stat);
            }
            if Instant::now() > self.deadline {
                self.found = Err(Errno::TIMEDOUT);
                return;
            }
        }
    }
}

impl Found {
    /// The mode of a file that was asked for; none where it is no regular file.
    pub(super) fn mode(&self, name: &CStr) -> Option<u16> {
        let stat = self.stats.get(name)?;
        (stat.kind == FileType::RegularFile).then_some(stat.mode)
    }
}
