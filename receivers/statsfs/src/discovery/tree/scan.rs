//! A scan of the tree: what is to be looked at, one visit after the other.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory::Listed;
use super::visit::VisitScope;
use super::{Tree, Visit, Visited, schemas};
use crate::directory_id::DirectoryId;
use crate::discovery::inotify::WatchResult;

/// The first scan hands its changes over after this many directories.
const FIRST_SCAN_DIRECTORIES: usize = 64;

/// Any scan does after it has left out this many files and directories, where that is asked.
const LEFT_OUT: usize = 4096;

/// A scan hands its changes over at least this often.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

impl Tree {
    /// Begins to scan for changes: the whole tree at the first time and with `full`; else only what inotify tells of, and
    /// the polled directories. `now` in unix ns.
    pub(crate) fn begin_scan(&mut self, full: bool, now: u64) {
        self.now = now;
        self.last_inode_before = self.last_inode;
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
                let changed = &events.changed;
                let entries = events.subdirectories.into_iter();
                let entries = entries.filter(|(id, _)| !changed.contains(id));
                let entries = entries.map(|(id, name)| (id, VisitScope::Entry(name)));
                let directory =
                    |id: &DirectoryId| (*id, VisitScope::Directory { recursive: false });
                let mut visits: Vec<_> = entries.collect();
                visits.extend(changed.iter().map(directory));
                self.queue.extend(visits.into_iter().rev());
            }
            _ => {
                self.close_directories();
                self.interner.forget_unused();
                self.schemas.forget_unused();
                // It finds whatever else was to be looked at.
                self.queue.clear();
                let scope = VisitScope::Directory { recursive: true };
                self.queue.push((self.root_id, scope));
            }
        }
    }

    /// What to look at next; `None` if nothing is left but what is being looked at.
    pub(crate) fn next_visit(&mut self) -> Option<Visit> {
        while let Some((id, scope)) = self.queue.pop() {
            let Some(directory) = self.directories.get(&id) else {
                continue;
            };
            if let Some(again) = self.under_way.get_mut(&id) {
                *again = true;
                self.update(id, |directory| directory.listed.miss());
                continue;
            }
            let scope = match scope {
                // The first listing is that of a new directory, whatever it was asked for.
                VisitScope::Directory { .. } if directory.listed == Listed::Never => {
                    VisitScope::Directory { recursive: true }
                }
                scope => scope,
            };
            let is_recursive = scope == VisitScope::Directory { recursive: true };
            let wants_watch = directory.watch.is_none() && is_recursive;
            let visit = Visit {
                directory: id,
                path: self.display_path(&directory.path),
                root: Arc::clone(&self.root),
                below: Arc::clone(&directory.below),
                open: directory.open.as_ref().map(|open| Arc::clone(&open.fd)),
                inotify: wants_watch.then(|| self.watcher.reserve()).flatten(),
                is_link: directory.is_link,
                has_schema: directory.has_schema,
                wants_modified: directory.files.is_empty() && self.has_creation_time(directory),
                max_entries: self.plan.limits.directory_entries,
                max_schema_bytes: schemas::bytes(self.plan.limits.schema_bytes),
                timeout: self.plan.directory_timeout(),
                scope,
            };
            self.under_way.insert(id, false);
            return Some(visit);
        }
        None
    }

    /// The entries that a visit has to ask for before it is applied: the modes of files that are new.
    pub(crate) fn entries_to_stat(
        &mut self,
        visit: &Visit,
        visited: &mut Visited,
    ) -> Vec<Box<CStr>> {
        let id = visit.directory;
        let Ok(found) = &mut visited.found else {
            return Vec::new();
        };
        if !self.directories.contains_key(&id) || matches!(visit.scope, VisitScope::Entry(_)) {
            return Vec::new();
        }
        self.parse_schema(id, found);
        self.unknown_entries(id, found)
    }

    /// Updates the tree with what a visit has found.
    pub(crate) fn apply(&mut self, visit: Visit, visited: Visited) {
        let id = visit.directory;
        let again = self.under_way.remove(&id).unwrap_or_default();
        if visit.inotify.is_some() {
            self.watcher.register(visited.watch, id);
            if !self.directories.contains_key(&id)
                && let Some(watch) = visited.watch
            {
                self.watcher.remove(watch, id);
            }
            self.update(id, |directory| directory.watch = visited.watch);
        }
        if !self.directories.contains_key(&id) {
            return;
        }
        match visit.scope {
            VisitScope::Directory { recursive } => self.refresh(id, recursive, visited.found),
            VisitScope::Entry(name) => self.refresh_entry(id, &name, visited.found),
        }
        if again {
            let scope = VisitScope::Directory { recursive: true };
            self.queue.push((id, scope));
        }
        self.flush_early();
    }

    /// Whether this is a visit of this tree, and not of one whose root has gone since.
    pub(crate) fn is_own(&self, visit: &Visit) -> bool {
        Arc::ptr_eq(&self.root, &visit.root)
    }

    /// Ends a scan: nothing is left to look at but what does not answer.
    pub(crate) fn finish_scan(&mut self) {
        self.unmark_ancestors();
        self.retry_duplicates();
        self.passed_links.log(&self.context.id);
        self.is_scanned = true;
        self.last_scan = self.now.max(1);
        self.flush();
    }

    /// Hands over the changes so far.
    pub(crate) fn flush(&mut self) {
        self.last_flush = Instant::now();
        if !self.changes.is_empty() {
            (self.sink)(std::mem::take(&mut self.changes));
        }
    }

    /// Hands over the changes so far: of a first scan, to bound memory; of a slow one, since others wait for them.
    fn flush_early(&mut self) {
        let is_large = !self.is_scanned && self.changes.added.len() >= FIRST_SCAN_DIRECTORIES;
        let is_large = is_large || self.changes.left_out.len() >= LEFT_OUT;
        if is_large || self.last_flush.elapsed() >= FLUSH_INTERVAL {
            self.flush();
        }
    }
}
