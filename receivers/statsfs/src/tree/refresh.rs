//! A directory is listed, and what changed in it is taken in.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::{Clock, DirectoryId, Tree};
use crate::complaints::Complaints;
use crate::name::escape;
use crate::read::{Listed, list};

impl Tree {
    /// Lists a directory and takes in what changed; what is new is scanned to its depth, with `deep` also what is known.
    pub(super) fn refresh(
        &mut self,
        id: DirectoryId,
        deep: bool,
        clock: Clock,
        complaints: &mut Complaints,
    ) {
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
                let shown = self.shown(&path);
                return complaints.add_once("directories_failed", "directory", cause, shown);
            }
        };
        if listed.overflow {
            complaints.add_once(
                "entries_refused",
                "limit",
                "more entries than `limits.directory_entries`",
                self.shown(&path),
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

        // It is read when the tree is scanned; between scans, when it comes or goes.
        let directory = &self.directories[&id];
        if deep || has_schema != directory.schema.is_some() {
            self.take_schema(id, has_schema, complaints);
        }
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
        let mut links = 0;
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
                            "deeper than `limits.depth`",
                            format!("{}/{text}", directory.path),
                        );
                    } else if taken {
                        children.insert(name.clone(), *inode);
                    }
                }
                FileType::Symlink if id == self.top => links += 1,
                _ => {}
            }
        }
        if id == self.top {
            self.links_passed = links;
        }
        (children, files, has_schema)
    }

    /// Ends the files of a directory that stays.
    pub(super) fn end_files(&mut self, id: DirectoryId) {
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
    pub(super) fn end(&mut self, id: DirectoryId) {
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
