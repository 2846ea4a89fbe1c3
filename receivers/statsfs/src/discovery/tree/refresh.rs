//! A directory is listed, and the tree is updated with what changed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::{ScanTimes, Tree};
use crate::directory_id::DirectoryId;
use crate::discovery::name::escape;
use crate::read::syscalls::{DirectoryListing, list, stat_entry};
use crate::warnings::Warnings;

impl Tree {
    /// Lists a directory and updates the tree. New subdirectories are scanned to their depth, with `recursive` also known ones.
    pub(super) fn refresh(
        &mut self,
        id: DirectoryId,
        recursive: bool,
        times: ScanTimes,
        warnings: &Warnings,
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
                    "cannot be listed: permission denied"
                } else {
                    "cannot be listed"
                };
                let subject = self.display_path(&path);
                return warnings.add_once("directories_failed", "directory", cause, subject);
            }
        };
        if listed.is_truncated {
            self.warn_too_many_entries(&path, warnings);
        }
        let (children, files, has_schema) = self.select_entries(id, &listed, warnings);

        let names = self.directories[&id].children.keys().cloned().collect();
        let removed = self.remove_missing_children(id, names, &children);

        // The `.schema` is read at a full scan, and whenever it is created or removed.
        let directory = &self.directories[&id];
        if recursive || has_schema != directory.schema.is_some() {
            self.update_schema(id, has_schema, warnings);
        }
        self.update_files(id, files, warnings);
        self.update_children(id, children, &removed, recursive, times, warnings);
        self.update_polled(id);
    }

    /// Updates one entry of a directory after an inotify event: one device among thousands costs no listing of all.
    pub(super) fn refresh_entry(
        &mut self,
        id: DirectoryId,
        name: &CStr,
        times: ScanTimes,
        warnings: &Warnings,
    ) {
        let Ok(entry) = self.with_open(id, |fd| stat_entry(fd.as_fd(), name)) else {
            return self.refresh(id, false, times, warnings);
        };
        let (children, ..) = self.select_entries(id, &entry, warnings);
        let directory = &self.directories[&id];
        let is_known = directory.children.contains_key(name);
        let entry_count = directory.children.len() + directory.files.len();
        if !is_known && !children.is_empty() && entry_count >= self.plan.limits.directory_entries {
            return self.warn_too_many_entries(&Arc::clone(&directory.path), warnings);
        }
        let names = is_known.then(|| name.into()).into_iter().collect();
        let removed = self.remove_missing_children(id, names, &children);
        self.update_children(id, children, &removed, false, times, warnings);
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

    fn warn_too_many_entries(&self, path: &str, warnings: &Warnings) {
        warnings.add_once(
            "entries_refused",
            "limit",
            "more entries than `limits.directory_entries`",
            self.display_path(path),
        );
    }

    /// Removes those of the named children that no longer exist; a child with another inode is a new one. Returns the removed.
    fn remove_missing_children(
        &mut self,
        id: DirectoryId,
        names: Vec<Box<CStr>>,
        present: &BTreeMap<Box<CStr>, u64>,
    ) -> BTreeSet<Box<CStr>> {
        let mut removed = BTreeSet::new();
        for name in names {
            let child = self.directories[&id].children[&name];
            let inode = self.directories.get(&child).map(|it| &it.inode);
            if present.get(&name) != inode {
                self.remove_directory(child);
                removed.insert(name);
            }
        }
        removed
    }

    /// Adds new children and scans them to their depth; with `recursive`, known ones are scanned too.
    fn update_children(
        &mut self,
        id: DirectoryId,
        children: BTreeMap<Box<CStr>, u64>,
        removed: &BTreeSet<Box<CStr>>,
        recursive: bool,
        times: ScanTimes,
        warnings: &Warnings,
    ) {
        let directory = &self.directories[&id];
        let (path, below) = (Arc::clone(&directory.path), Arc::clone(&directory.below));
        for (name, inode) in children {
            let Some(directory) = self.directories.get(&id) else {
                return;
            };
            if let Some(child) = directory.children.get(&name).copied() {
                if recursive {
                    self.refresh(child, true, times, warnings);
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
            self.refresh(child, true, times, warnings);
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

    /// Selects from a listing: directories with their inodes, regular files, and whether there is a `.schema`.
    #[allow(clippy::type_complexity)]
    fn select_entries(
        &mut self,
        id: DirectoryId,
        listed: &DirectoryListing,
        warnings: &Warnings,
    ) -> (BTreeMap<Box<CStr>, u64>, BTreeSet<Box<CStr>>, bool) {
        let directory = &self.directories[&id];
        let mut links = 0;
        let (mut children, mut files, mut has_schema) = (BTreeMap::new(), BTreeSet::new(), false);
        let depth = directory.below.components().count();
        let has_files = directory.subsystem.as_ref().is_some_and(|(_, depth)| {
            self.plan
                .layout
                .as_ref()
                .is_none_or(|layout| layout.has_files(*depth))
        });
        for (name, kind, inode) in &listed.entries {
            let is_link =
                *kind == FileType::Symlink && self.plan.follow_links && id == self.root_id;
            match kind {
                _ if name.to_bytes() == b".schema" => has_schema = true,
                _ if name.to_bytes().starts_with(b".") => {}
                FileType::RegularFile if has_files => drop(files.insert(name.clone())),
                _ if *kind == FileType::Directory || is_link => {
                    let text = escape(name.to_bytes());
                    let is_selected = match &directory.subsystem {
                        None => self.plan.subsystems.is_match(&text),
                        Some((_, 0)) if !self.plan.devices.is_match(&text) => false,
                        Some((_, depth)) => self
                            .plan
                            .layout
                            .as_ref()
                            .is_none_or(|layout| layout.is_match(*depth, &text)),
                    };
                    if is_selected && depth >= self.plan.limits.depth {
                        warnings.add_once(
                            "directories_refused",
                            "limit",
                            "deeper than `limits.depth`",
                            format!("{}/{text}", directory.path),
                        );
                    } else if is_selected {
                        children.insert(name.clone(), *inode);
                    }
                }
                FileType::Symlink if id == self.root_id => links += 1,
                _ => {}
            }
        }
        if id == self.root_id {
            self.links_passed = self.links_passed.max(links);
        }
        (children, files, has_schema)
    }

    /// Removes the files of a directory that stays.
    pub(super) fn remove_files(&mut self, id: DirectoryId) {
        let Some(directory) = self.directories.get_mut(&id) else {
            return;
        };
        let files = std::mem::take(&mut directory.files);
        let key = directory
            .subsystem
            .clone()
            .map(|(subsystem, _)| (subsystem, Arc::clone(&directory.attributes)));
        self.changes
            .removed_files
            .extend(files.into_names().map(|name| (id, name)));
        let same_labels = key.and_then(|key| Some((self.same_labels.get_mut(&key)?, key)));
        if let Some((same_labels, key)) = same_labels {
            same_labels.retain(|other| *other != id);
            if same_labels.is_empty() {
                self.same_labels.remove(&key);
            }
        }
    }

    /// Removes a directory and all below it.
    pub(super) fn remove_directory(&mut self, id: DirectoryId) {
        self.remove_files(id);
        let changes = &mut self.changes;
        changes
            .removed_files
            .retain(|(directory, _)| *directory != id);
        // What was added and removed within one scan never existed.
        changes
            .added
            .retain(|(directory_ref, _)| directory_ref.directory != id);
        changes.changed.retain(|(directory, _)| *directory != id);
        let Some(directory) = self.directories.remove(&id) else {
            return;
        };
        self.polled.remove(&id);
        if let Some(watch) = directory.watch {
            self.watcher.remove(watch, id);
        }
        self.open_directories -= usize::from(directory.open.is_some());
        directory
            .children
            .into_values()
            .for_each(|child| self.remove_directory(child));
        if let Some(parent) = directory
            .parent
            .and_then(|parent| self.directories.get_mut(&parent))
        {
            parent.children.retain(|_, child| *child != id);
        }
        self.changes.removed_directories.push(id);
    }
}
