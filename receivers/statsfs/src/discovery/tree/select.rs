//! Which entries of a listing belong to the tree: by layout, filters, links and limits.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use rustix::fs::FileType;

use super::Tree;
use crate::counters::DIRECTORIES_REFUSED;
use crate::directory_id::DirectoryId;
use crate::discovery::name::escape;
use crate::read::syscalls::DirectoryListing;

/// A directory, or a link that is followed to one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// That of the link, if it is one.
    pub(super) inode: u64,
    pub(super) is_link: bool,
}

impl Tree {
    /// Selects from a listing: directories, and regular files.
    pub(super) fn select_entries(
        &mut self,
        id: DirectoryId,
        listed: &DirectoryListing,
    ) -> (BTreeMap<Box<CStr>, Child>, BTreeSet<Box<CStr>>) {
        let directory = &self.directories[&id];
        let (mut passed, mut has_device) = (Vec::new(), false);
        let (mut children, mut files) = (BTreeMap::new(), BTreeSet::new());
        let depth = directory.depth();
        let has_files = depth.is_some_and(|depth| self.plan.has_files(depth));
        let is_too_deep = directory.below.components().count() >= self.plan.limits.depth;
        for (name, kind, inode) in &listed.entries {
            match kind {
                _ if name.to_bytes().starts_with(b".") => {}
                FileType::RegularFile if has_files => drop(files.insert(name.clone())),
                FileType::Directory | FileType::Symlink => {
                    let (is_link, text) = (*kind == FileType::Symlink, escape(name.to_bytes()));
                    if is_link && !self.is_followed(id, &text) {
                        passed.push(text);
                        continue;
                    }
                    has_device |= depth == Some(0);
                    let is_selected = self.plan.is_selected(depth, &text);
                    if is_selected && is_too_deep {
                        self.failure_log.record_once(
                            DIRECTORIES_REFUSED,
                            "limit",
                            "deeper than `limits.depth`; passed over",
                            format!("{}/{text}", directory.path),
                        );
                    } else if is_selected {
                        let inode = *inode;
                        children.insert(name.clone(), Child { inode, is_link });
                    }
                }
                _ => {}
            }
        }
        if id == self.root_id {
            self.links_passed = self.links_passed.max(passed.len());
        }
        for name in passed {
            self.pass_link(id, &name);
        }
        self.update(id, |directory| directory.has_device |= has_device);
        (children, files)
    }
}
