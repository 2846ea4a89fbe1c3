//! Which entries of a listing belong to the tree: by layout, filters and limits.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use rustix::fs::FileType;

use super::Tree;
use crate::counters::DIRECTORIES_REFUSED;
use crate::directory_id::DirectoryId;
use crate::discovery::name::escape;
use crate::read::syscalls::DirectoryListing;

impl Tree {
    /// Selects from a listing: directories with their inodes, and regular files.
    pub(super) fn select_entries(
        &mut self,
        id: DirectoryId,
        listed: &DirectoryListing,
    ) -> (BTreeMap<Box<CStr>, u64>, BTreeSet<Box<CStr>>) {
        let directory = &self.directories[&id];
        let (mut links, mut has_device) = (0, false);
        let (mut children, mut files) = (BTreeMap::new(), BTreeSet::new());
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
                _ if name.to_bytes().starts_with(b".") => {}
                FileType::RegularFile if has_files => drop(files.insert(name.clone())),
                _ if *kind == FileType::Directory || is_link => {
                    let text = escape(name.to_bytes());
                    has_device |= matches!(directory.subsystem, Some((_, 0)));
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
                        self.failure_log.record_once(
                            DIRECTORIES_REFUSED,
                            "limit",
                            "deeper than `limits.depth`; passed over",
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
        self.update(id, |directory| directory.has_device |= has_device);
        (children, files)
    }
}
