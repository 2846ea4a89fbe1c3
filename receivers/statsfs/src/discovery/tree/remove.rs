//! Directories and files that no longer exist are removed from the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::sync::Arc;

use super::Tree;
use super::select::Child;
use crate::directory_id::DirectoryId;

impl Tree {
    /// Removes those of the named children that no longer exist; a child with another inode is a new one.
    pub(super) fn remove_missing_children(
        &mut self,
        id: DirectoryId,
        names: Vec<Box<CStr>>,
        present: &BTreeMap<Box<CStr>, Child>,
    ) {
        for name in names {
            let child = self.directories[&id].children[&name];
            let inode = self.directories.get(&child).map(|it| it.inode);
            if present.get(&name).map(|it| it.inode) != inode {
                self.remove_directory(child);
            }
        }
    }

    /// Removes the files of a directory that stays.
    pub(super) fn remove_files(&mut self, id: DirectoryId) {
        let Some(directory) = self.directories.get_mut(&id) else {
            return;
        };
        let files = std::mem::take(&mut directory.files);
        self.file_count -= files.len();
        if !files.is_empty() {
            // What was added and not handed over yet never existed.
            let changes = &mut self.changes;
            changes.added.retain(|(added, _)| added.directory != id);
            changes.changed.retain(|(it, _)| it.directory != id);
        }
        self.lost_below.extend(directory.parent);
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
        changes.changed.retain(|(it, _)| it.directory != id);
        let Some(directory) = self.directories.remove(&id) else {
            return;
        };
        self.polled.remove(&id);
        self.lost_below.extend(directory.parent);
        self.schemas.replace(0, directory.schema_bytes);
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

    /// Files whose name no longer stands below are no candidates for sums any more.
    pub(super) fn unmark_ancestors(&mut self) {
        let mut ancestors = BTreeSet::new();
        for id in std::mem::take(&mut self.lost_below) {
            let mut current = Some(id);
            while let Some(directory) = current.and_then(|id| self.directories.get(&id)) {
                if !current.is_some_and(|id| ancestors.insert(id)) {
                    break;
                }
                current = directory.parent;
            }
        }
        for id in ancestors {
            for name in self.no_longer_below(id) {
                let file = self.directories.get_mut(&id);
                let Some(file) = file.and_then(|it| it.files.get_mut(&name)) else {
                    continue;
                };
                file.same_name_below = false;
                if !file.duplicate {
                    self.change_file(id, &name);
                }
            }
        }
    }

    /// The files of a directory that are marked, and whose name no directory below has.
    fn no_longer_below(&self, id: DirectoryId) -> BTreeSet<Arc<CString>> {
        let Some(directory) = self.directories.get(&id) else {
            return BTreeSet::new();
        };
        let marked = directory.files.iter().filter(|(_, it)| it.same_name_below);
        let mut missing: BTreeSet<_> = marked.map(|(name, _)| Arc::clone(name)).collect();
        let mut queue: Vec<&DirectoryId> = directory.children.values().collect();
        while let Some(below) = queue.pop().filter(|_| !missing.is_empty()) {
            if let Some(below) = self.directories.get(below) {
                for name in below.files.names() {
                    missing.remove(name);
                }
                queue.extend(below.children.values());
            }
        }
        missing
    }
}
