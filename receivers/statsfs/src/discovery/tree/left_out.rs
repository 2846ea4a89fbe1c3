//! What of a tree becomes no series, and why: for `inspect`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use pipeline::LeftOut;
use rustix::fs::FileType;

use super::Tree;
use super::directory::Directory;
use super::select::Child;
use crate::directory_id::DirectoryId;
use crate::discovery::name::escape;
use crate::read::syscalls::DirectoryListing;

impl Tree {
    /// Something becomes no series; said where that is asked.
    pub(super) fn leave_out(
        &mut self,
        source: impl FnOnce() -> String,
        reason: &'static str,
        why: impl Into<Cow<'static, str>>,
    ) {
        if self.plan.inspects {
            let left_out = LeftOut::new(source(), reason, why);
            self.changes.left_out.push(left_out);
        }
    }

    /// The entries of a listing that were not selected.
    pub(super) fn leave_out_unselected(
        &mut self,
        id: DirectoryId,
        listed: &DirectoryListing,
        (children, files): (&BTreeMap<Box<CStr>, Child>, &BTreeSet<Box<CStr>>),
    ) {
        if !self.plan.inspects {
            return;
        }
        let directory = &self.directories[&id];
        let entries = listed.entries.iter();
        let unselected =
            entries.filter(|(name, ..)| !children.contains_key(name) && !files.contains(name));
        let left_out = unselected.map(|(name, kind, _)| {
            let text = escape(name.to_bytes());
            let (reason, why) = self.why_unselected(id, directory, &text, *kind);
            let below = match *kind {
                FileType::Directory | FileType::Symlink => "/",
                _ => "",
            };
            let separator = if directory.path.is_empty() { "" } else { "/" };
            let source = format!("{}{separator}{text}{below}", directory.path);
            LeftOut::new(source, reason, why)
        });
        let left_out: Vec<LeftOut> = left_out.collect();
        self.changes.left_out.extend(left_out);
    }

    /// Why an entry of this name was not selected.
    fn why_unselected(
        &self,
        id: DirectoryId,
        directory: &Directory,
        name: &str,
        kind: FileType,
    ) -> (&'static str, &'static str) {
        let is_followed = self.is_followed(id, name);
        let plan = &self.plan;
        match (kind, &directory.subsystem) {
            _ if name == ".schema" => ("schema", "it says what the files beside it are"),
            _ if name.starts_with('.') => ("hidden", "its name begins with a dot"),
            (FileType::RegularFile, None) => {
                ("layout", "in the root, each directory is a subsystem")
            }
            (FileType::RegularFile, Some(_)) => ("layout", "not where `layout` has files"),
            (FileType::Symlink, _) if !is_followed && self.may_be_followed(id, name) => {
                ("link", "a link; `follow_links: true` follows it")
            }
            (FileType::Symlink, _) if !is_followed => ("link", "a link, which is not followed"),
            (FileType::Directory | FileType::Symlink, None) if !plan.subsystems.is_match(name) => {
                ("filter", "`subsystems` leaves it out")
            }
            (FileType::Directory | FileType::Symlink, Some((_, 0)))
                if !plan.devices.is_match(name) =>
            {
                ("filter", "`devices` leaves it out")
            }
            (FileType::Directory | FileType::Symlink, Some((_, depth)))
                if (plan.layout.as_ref()).is_some_and(|it| !it.is_match(*depth, name)) =>
            {
                ("layout", "no part of `layout`")
            }
            (FileType::Directory | FileType::Symlink, _) => {
                ("limit", "deeper than `limits.depth`; passed over")
            }
            _ => ("special", "neither a file nor a directory"),
        }
    }
}
