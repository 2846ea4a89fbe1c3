//! A directory is listed, and the tree is updated with what changed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::io::Errno;

use super::{ScanTimes, Tree};
use crate::counters::{DIRECTORIES_FAILED, ENTRIES_REFUSED};
use crate::directory_id::DirectoryId;
use crate::discovery::name::escape;
use crate::failure_log::FailureLog;
use crate::read::syscalls::{DirectoryListing, list, stat_entry};

impl Tree {
    /// Lists a directory and updates the tree. New subdirectories are scanned to their depth, with `recursive` also known ones.
    pub(super) fn refresh(
        &mut self,
        id: DirectoryId,
        recursive: bool,
        times: ScanTimes,
        failure_log: &FailureLog,
    ) {
        let Some(directory) = self.directories.get(&id) else {
            return;
        };
        let path = Arc::clone(&directory.path);
        self.set_current_directory(&path);
        let max_entries = self.plan.limits.directory_entries;
        let listed = match self
            .with_open(id, |fd| list(fd.as_fd(), max_entries))
            .and_then(|listed| listed)
        {
            Ok(listed) if listed.is_truncated => self.prefer_known_entries(id, listed, max_entries),
            Ok(listed) => listed,
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) if id != self.root_id => {
                return self.remove_directory(id);
            }
            Err(errno) => {
                let cause = if errno == Errno::ACCESS {
                    "cannot be listed: permission denied; passed over"
                } else {
                    "cannot be listed; passed over"
                };
                let subject = self.display_path(&path);
                return failure_log.record_once(DIRECTORIES_FAILED, "directory", cause, subject);
            }
        };
        if listed.is_truncated {
            self.warn_too_many_entries(&path, failure_log);
        }
        let (children, files, has_schema) = self.select_entries(id, &listed, failure_log);

        let names = self.directories[&id].children.keys().cloned().collect();
        let removed = self.remove_missing_children(id, names, &children);

        // The `.schema` is read at a full scan, and whenever it is created or removed.
        let directory = &self.directories[&id];
        if recursive || has_schema != directory.schema.is_some() {
            self.update_schema(id, has_schema, failure_log);
        }
        self.update_files(id, files, failure_log);
        self.update_children(id, children, &removed, recursive, times, failure_log);
        self.update_polled(id);
    }

    /// Updates one entry of a directory after an inotify event: one device among thousands costs no listing of all.
    pub(super) fn refresh_entry(
        &mut self,
        id: DirectoryId,
        name: &CStr,
        times: ScanTimes,
        failure_log: &FailureLog,
    ) {
        let Ok(entry) = self.with_open(id, |fd| stat_entry(fd.as_fd(), name)) else {
            return self.refresh(id, false, times, failure_log);
        };
        let (children, ..) = self.select_entries(id, &entry, failure_log);
        let directory = &self.directories[&id];
        let is_known = directory.children.contains_key(name);
        let entry_count = directory.children.len() + directory.files.len();
        if !is_known && !children.is_empty() && entry_count >= self.plan.limits.directory_entries {
            return self.warn_too_many_entries(&Arc::clone(&directory.path), failure_log);
        }
        let names = is_known.then(|| name.into()).into_iter().collect();
        let removed = self.remove_missing_children(id, names, &children);
        self.update_children(id, children, &removed, false, times, failure_log);
        self.update_polled(id);
    }

    /// The entries to use of a directory that has too many: first those that are known and still exist, then others, up to
    /// the limit. A truncated listing does not mean that other entries are gone.
    fn prefer_known_entries(
        &mut self,
        id: DirectoryId,
        listed: DirectoryListing,
        max_entries: usize,
    ) -> DirectoryListing {
        let directory = &self.directories[&id];
        let is_known = |name: &CStr| {
            directory.children.contains_key(name) || directory.files.get(name).is_some()
        };
        let (mut entries, others): (Vec<_>, Vec<_>) = listed
            .entries
            .into_iter()
            .partition(|(name, ..)| is_known(name) || name.to_bytes() == b".schema");
        let seen: BTreeSet<&CStr> = entries.iter().map(|(name, ..)| &**name).collect();
        let files = directory.files.names().map(|name| name.as_c_str());
        let known = directory.children.keys().map(|name| &**name).chain(files);
        let unseen = known.filter(|name| !seen.contains(name));
        let unseen: Vec<Box<CStr>> = unseen.map(Box::from).collect();
        let still_there = self.with_open(id, |fd| {
            let stat = |name: Box<CStr>| stat_entry(fd.as_fd(), &name).entries;
            unseen.into_iter().flat_map(stat).collect::<Vec<_>>()
        });
        entries.extend(still_there.unwrap_or_default());
        entries.extend(others);
        entries.truncate(max_entries);
        DirectoryListing {
            entries,
            is_truncated: true,
        }
    }

    fn warn_too_many_entries(&self, path: &str, failure_log: &FailureLog) {
        failure_log.record_once(
            ENTRIES_REFUSED,
            "limit",
            "more entries than `limits.directory_entries`; passed over",
            self.display_path(path),
        );
    }

    /// Adds new children and scans them to their depth; with `recursive`, known ones are scanned too.
    fn update_children(
        &mut self,
        id: DirectoryId,
        children: BTreeMap<Box<CStr>, u64>,
        removed: &BTreeSet<Box<CStr>>,
        recursive: bool,
        times: ScanTimes,
        failure_log: &FailureLog,
    ) {
        let directory = &self.directories[&id];
        let (path, below) = (Arc::clone(&directory.path), Arc::clone(&directory.below));
        for (name, inode) in children {
            let Some(directory) = self.directories.get(&id) else {
                return;
            };
            if let Some(child) = directory.children.get(&name).copied() {
                if recursive {
                    self.refresh(child, true, times, failure_log);
                }
                continue;
            }
            let child_below = below.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            let text = escape(name.to_bytes());
            let (child_path, subsystem) = match &directory.subsystem {
                None => (text.clone(), Some((Arc::from(text), 0))),
                Some((subsystem, depth)) => (
                    format!("{path}/{text}"),
                    Some((Arc::clone(subsystem), depth + 1)),
                ),
            };
            let start_time = self.start_time(id, &child_below, times);
            // It replaces a directory and continues its series: it starts when that was last read.
            let start_time = if removed.contains(&name) {
                start_time.max(self.last_sweep_end)
            } else {
                start_time
            };
            let child = self.insert(
                Some(id),
                child_below.into(),
                child_path.into(),
                subsystem,
                inode,
                start_time,
            );
            self.update(id, |directory| {
                directory.children.insert(name, child);
            });
            self.refresh(child, true, times, failure_log);
            self.flush_first_scan();
        }
    }

    /// Updates whether a directory is polled, which depends on its content.
    fn update_polled(&mut self, id: DirectoryId) {
        let polled = self
            .directories
            .get(&id)
            .is_some_and(|it| it.watch.is_none() && self.holds_devices(it));
        if polled {
            self.polled.insert(id);
        } else {
            self.polled.remove(&id);
        }
    }
}
