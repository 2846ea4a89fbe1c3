//! What a visit has found of a directory is compared with the tree, which is updated.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::Tree;
use super::directory::Listed;
use super::select::Child;
use super::visit::{Found, FoundSchema, VisitScope};
use crate::counters::{DIRECTORIES_FAILED, DIRECTORIES_REFUSED, ENTRIES_REFUSED};
use crate::directory_id::DirectoryId;
use crate::discovery::name::escape;
use crate::failure_log::Cause;
use crate::read::syscalls::DirectoryListing;

/// What is said of a directory that is given up.
pub(crate) const DOES_NOT_ANSWER: &str =
    "a directory does not answer when it is listed; what is known is swept on";

impl Tree {
    /// Updates a directory. New subdirectories are looked at next, with `recursive` also known ones.
    pub(super) fn refresh(
        &mut self,
        id: DirectoryId,
        recursive: bool,
        found: Result<Found, Errno>,
    ) {
        let path = Arc::clone(&self.directories[&id].path);
        let mut found = match found {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) if id != self.root_id => {
                return self.remove_directory(id);
            }
            Err(errno) => {
                self.update(id, |directory| directory.listed.miss());
                return self.refuse_directory(&path, errno);
            }
        };
        if self.leads_elsewhere(id, &found) {
            return self.replace_directory(id);
        }
        if found.listing.is_truncated {
            self.prefer_known_entries(id, &mut found);
            self.warn_too_many_entries(&path);
        }
        let inodes = found.listing.entries.iter().map(|(.., inode)| *inode);
        self.last_inode = inodes.fold(self.last_inode, u64::max);
        let (children, files) = self.select_entries(id, &found.listing);
        self.leave_out_unselected(id, &found.listing, (&children, &files));

        let names = self.directories[&id].children.keys().cloned().collect();
        self.remove_missing_children(id, names, &children);

        if let Some(creation_time) = found.modified {
            self.set_creation_time(id, creation_time);
        }
        match std::mem::replace(&mut found.schema, FoundSchema::Unread) {
            FoundSchema::Parsed(schema, size) => {
                self.update_schema(id, schema, size);
                self.update(id, |directory| directory.has_schema = true);
            }
            FoundSchema::Absent if recursive || self.directories[&id].has_schema => {
                self.update_schema(id, None, 0);
                self.update(id, |directory| directory.has_schema = false);
            }
            _ => {}
        }
        self.update_files(id, files, &found);
        let is_whole = self.update_children(id, children, recursive) && !found.listing.is_truncated;
        self.update(id, |directory| {
            directory.listed = if is_whole {
                Listed::Whole
            } else {
                Listed::InPart
            };
        });
        self.update_polled(id);
        self.keep_open(id, found.open);
    }

    /// Whether the link to a directory leads to another one since it was first opened. Its inode may be that of the link
    /// before: a file system may use those again at once.
    fn leads_elsewhere(&mut self, id: DirectoryId, found: &Found) -> bool {
        let directory = self.directories.get_mut(&id);
        let target = directory.map(|it| &mut it.link_target);
        target.is_some_and(|target| {
            let before = std::mem::replace(target, found.link_target);
            before.is_some() && before != found.link_target
        })
    }

    /// Another directory has taken the place of this one: it is a new one, which its parent has.
    fn replace_directory(&mut self, id: DirectoryId) {
        let parent = self.directories.get(&id).and_then(|it| it.parent);
        self.remove_directory(id);
        let scope = VisitScope::Directory { recursive: false };
        self.queue.extend(parent.map(|parent| (parent, scope)));
    }

    /// A directory cannot be listed: it is counted, and named once.
    fn refuse_directory(&mut self, path: &Arc<str>, errno: Errno) {
        let (reason, cause): (_, Cause) = match errno {
            Errno::TIMEDOUT => ("stuck", DOES_NOT_ANSWER.into()),
            Errno::ACCESS => (
                "directory",
                "cannot be listed: permission denied; passed over".into(),
            ),
            Errno::LOOP => (
                "link",
                "it leads through a link, and only those directly in the root, and those that `layout` names, are followed, to what is no link itself; passed over".into(),
            ),
            Errno::XDEV => (
                "link",
                "a link to another file system, which `links_into` does not name; passed over".into(),
            ),
            _ => ("directory", ("cannot be listed; passed over", errno).into()),
        };
        let subject = self.display_path(path).to_string();
        self.leave_out(|| format!("{subject}/"), reason, cause.to_string());
        self.failure_log
            .record_once(DIRECTORIES_FAILED, reason, cause, subject);
    }

    /// Updates one entry of a directory after an inotify event: one device among thousands costs no listing of all.
    pub(super) fn refresh_entry(
        &mut self,
        id: DirectoryId,
        name: &CStr,
        found: Result<Found, Errno>,
    ) {
        let Ok(found) = found else {
            let scope = VisitScope::Directory { recursive: false };
            return self.queue.push((id, scope));
        };
        let (children, _) = self.select_entries(id, &found.listing);
        let directory = &self.directories[&id];
        let is_known = directory.children.contains_key(name);
        let entry_count = directory.children.len() + directory.files.len();
        if !is_known && !children.is_empty() && entry_count >= self.plan.limits.directory_entries {
            let path = Arc::clone(&directory.path);
            self.warn_too_many_entries(&path);
            return self.update(id, |directory| directory.listed.miss());
        }
        let names = is_known.then(|| name.into()).into_iter().collect();
        self.remove_missing_children(id, names, &children);
        if !self.update_children(id, children, false) {
            self.update(id, |directory| directory.listed.miss());
        }
        self.update_polled(id);
    }

    /// The entries that have to be asked for before this can be applied: files that are new, and what a truncated listing
    /// does not tell of.
    pub(super) fn unknown_entries(&self, id: DirectoryId, found: &Found) -> Vec<Box<CStr>> {
        let directory = &self.directories[&id];
        let labels_stay = match &found.schema {
            FoundSchema::Parsed(schema, _) => {
                self.labels_with(id, schema.as_deref()) == *directory.attributes
            }
            FoundSchema::Absent => self.labels_with(id, None) == *directory.attributes,
            _ => true,
        };
        let listed = found.listing.entries.iter();
        let regular = listed.filter(|(_, kind, _)| *kind == FileType::RegularFile);
        let new = regular.filter(|(name, ..)| {
            !name.to_bytes().starts_with(b".")
                && (!labels_stay || directory.files.get(name).is_none())
        });
        let mut names: Vec<Box<CStr>> = new.map(|(name, ..)| name.clone()).collect();
        if found.listing.is_truncated {
            let listed = found.listing.entries.iter();
            let seen: BTreeSet<&CStr> = listed.map(|(name, ..)| &**name).collect();
            let files = directory.files.names().map(|name| name.as_c_str());
            let known = directory.children.keys().map(|name| &**name).chain(files);
            names.extend(known.filter(|name| !seen.contains(name)).map(Box::from));
        }
        names
    }

    /// The entries to use of a directory that has too many: first those that are known and still exist, then others, up to
    /// the limit. A truncated listing does not mean that other entries are gone.
    fn prefer_known_entries(&self, id: DirectoryId, found: &mut Found) {
        let directory = &self.directories[&id];
        let is_known = |name: &CStr| {
            directory.children.contains_key(name) || directory.files.get(name).is_some()
        };
        let listed = std::mem::take(&mut found.listing.entries);
        let seen: BTreeSet<Box<CStr>> = listed.iter().map(|(name, ..)| name.clone()).collect();
        let (mut entries, others): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .partition(|(name, ..)| is_known(name) || name.to_bytes() == b".schema");
        let still_there = found.stats.iter().filter(|(name, _)| !seen.contains(*name));
        entries.extend(still_there.map(|(name, it)| (name.clone(), it.kind, it.inode)));
        entries.extend(others);
        entries.truncate(self.plan.limits.directory_entries);
        found.listing = DirectoryListing {
            entries,
            is_truncated: true,
        };
    }

    fn warn_too_many_entries(&mut self, path: &Arc<str>) {
        let cause = "more entries than `limits.directory_entries`; passed over";
        let subject = self.display_path(path).to_string();
        self.leave_out(|| format!("{subject}/"), "limit", cause);
        self.failure_log
            .record_once(ENTRIES_REFUSED, "limit", cause, subject);
    }

    /// Adds new children, to be looked at next; with `recursive`, known ones are looked at too. Returns whether all are in
    /// the tree.
    fn update_children(
        &mut self,
        id: DirectoryId,
        children: BTreeMap<Box<CStr>, Child>,
        recursive: bool,
    ) -> bool {
        let directory = &self.directories[&id];
        let (path, below) = (Arc::clone(&directory.path), Arc::clone(&directory.below));
        let subsystem = directory.subsystem.clone();
        let (mut visits, mut is_whole) = (Vec::new(), true);
        for (name, entry) in children {
            if let Some(child) = self.directories[&id].children.get(&name).copied() {
                if recursive || (entry.is_link && id != self.root_id) {
                    visits.push((child, VisitScope::Directory { recursive: true }));
                }
                continue;
            }
            let text = escape(name.to_bytes());
            if self.directories.len() >= self.plan.limits.directories {
                let cause = "more directories than `limits.directories`; passed over";
                let subject = format!("{}/{text}", self.display_path(&path));
                self.leave_out(|| format!("{subject}/"), "limit", cause);
                self.failure_log
                    .record_once(DIRECTORIES_REFUSED, "limit", cause, subject);
                is_whole = false;
                continue;
            }
            let child_below = below.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            let (child_path, subsystem) = match &subsystem {
                None => (text.clone(), Some((Arc::from(text), 0))),
                Some((subsystem, depth)) => (
                    format!("{path}/{text}"),
                    Some((Arc::clone(subsystem), depth + 1)),
                ),
            };
            let child = self.insert(
                Some(id),
                child_below.into(),
                child_path.into(),
                subsystem,
                entry,
            );
            self.update(id, |directory| {
                directory.children.insert(name, child);
            });
            visits.push((child, VisitScope::Directory { recursive: true }));
        }
        // The last one is next.
        self.queue.extend(visits.into_iter().rev());
        is_whole
    }

    /// Updates whether a directory is polled, which depends on its content.
    fn update_polled(&mut self, id: DirectoryId) {
        // Where others have watches, the tree is not scanned otherwise: all that has none is listed.
        let is_watched = self.watcher.is_supported();
        let polled = self
            .directories
            .get(&id)
            .is_some_and(|it| it.watch.is_none() && (is_watched || self.holds_devices(it)));
        if polled {
            self.polled.insert(id);
        } else {
            self.polled.remove(&id);
        }
    }
}
