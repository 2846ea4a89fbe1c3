//! The files of a directory, and their series.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::sync::Arc;

use pipeline::telemetry::Counter;
use pipeline::{Series, Source, SourceFile};

use super::file_list::FileEntry;
use super::visit::Found;
use super::{DiscoveredFile, Tree};
use crate::counters::{ENTRIES_REFUSED, SCHEMA_LINES_FAILED};
use crate::directory_id::DirectoryId;
use crate::discovery::name::escape;

impl Tree {
    pub(super) fn update_files(
        &mut self,
        id: DirectoryId,
        files: BTreeSet<Box<CStr>>,
        found: &Found,
    ) {
        let Some((subsystem, _)) = self.directories[&id].subsystem.clone() else {
            return;
        };
        let directory = &self.directories[&id];
        let removed: Vec<Arc<CString>> = directory
            .files
            .names()
            .filter(|name| !files.contains(name.as_c_str()))
            .cloned()
            .collect();
        if let (Some(schema), path) = (directory.schema.clone(), Arc::clone(&directory.path)) {
            let texts: BTreeSet<&[u8]> = files.iter().map(|name| name.to_bytes()).collect();
            for (name, entry) in schema
                .metrics
                .iter()
                .filter(|(name, _)| !texts.contains(name.as_bytes()))
            {
                self.failure_log.record_once(
                    SCHEMA_LINES_FAILED,
                    "schema",
                    "not understood in a `.schema`; passed over",
                    format!("{path}/.schema:{}: `{name}` has no file", entry.line),
                );
            }
        }
        if !removed.is_empty() {
            self.lost_below.extend(self.directories[&id].parent);
        }
        self.file_count -= removed.len();
        for name in removed {
            self.update(id, |directory| {
                directory.files.remove(&name);
            });
            for (directory_ref, added) in &mut self.changes.added {
                if directory_ref.directory == id {
                    added.retain(|file| file.file != name);
                }
            }
            // What changed before it went would be added again.
            let changed = &mut self.changes.changed;
            changed.retain(|(it, file)| it.directory != id || file.file != name);
            self.changes.removed_files.push((id, name));
        }
        let known = &self.directories[&id].files;
        let files = files.into_iter().filter(|name| known.get(name).is_none());
        let files: Vec<Arc<CString>> = files.map(|name| self.interner.file_name(name)).collect();
        for name in files {
            // It was removed since it was listed, or is something else by now.
            let Some(mode) = found.mode(&name) else {
                continue;
            };
            if self.file_count >= self.plan.limits.files {
                let cause = "more files than `limits.files`; passed over";
                let subject = format!("{}/{}", self.directories[&id].path, escape(name.to_bytes()));
                self.leave_out(|| subject.clone(), "limit", cause);
                self.failure_log
                    .record_once(ENTRIES_REFUSED, "limit", cause, subject);
                continue;
            }
            self.file_count += 1;
            self.mark_ancestors(id, &name);
            let original = self.duplicate_of(id, &subsystem, &name);
            if let Some(original) = &original {
                let cause = "series that cannot be told apart; passed over";
                let path = format!("{}/{}", self.directories[&id].path, escape(name.to_bytes()));
                self.leave_out(|| path.clone(), "duplicate", cause);
                let subject = format!("{path}: the same as in {original}");
                self.failure_log
                    .record_once(Counter::SERIES_REFUSED, "duplicate", cause, subject);
            }
            let file = FileEntry {
                mode,
                same_name_below: self.exists_in_descendant(id, &name),
                duplicate: original.is_some(),
            };
            self.update(id, |directory| {
                directory.files.insert(Arc::clone(&name), file);
            });
            if original.is_some() {
                self.duplicates.insert((id, Arc::clone(&name)));
            } else if let Some(discovered) = self.discovered_file(id, &name) {
                self.add_file(id, discovered);
            }
        }
        self.update(id, |directory| directory.files.shrink());
    }

    /// Adds a file to the changes.
    pub(crate) fn add_file(&mut self, id: DirectoryId, file: DiscoveredFile) {
        match self.changes.added.last_mut() {
            Some((directory_ref, added)) if directory_ref.directory == id => added.push(file),
            _ => {
                let directory_ref = self.directory_ref(id);
                self.changes
                    .added
                    .extend(directory_ref.map(|directory_ref| (directory_ref, vec![file])));
            }
        }
    }

    /// The directory of a file that is the same series: of the same name in another directory with the same labels, or of
    /// another name in this directory that is the same as text.
    fn duplicate_of(
        &self,
        id: DirectoryId,
        subsystem: &Arc<str>,
        name: &Arc<CString>,
    ) -> Option<Arc<str>> {
        let own = &self.directories[&id];
        let is_original = |file: Option<&FileEntry>| file.is_some_and(|file| !file.duplicate);
        let text = escape(name.to_bytes());
        if text.contains('%') {
            let mut others = own.files.iter().filter(|(other, _)| *other != name);
            let original =
                others.find(|(other, file)| !file.duplicate && escape(other.to_bytes()) == text);
            if original.is_some() {
                return Some(Arc::clone(&own.path));
            }
        }
        let key = (Arc::clone(subsystem), Arc::clone(&own.attributes));
        let others = self
            .same_labels
            .get(&key)?
            .iter()
            .filter(|other| **other != id);
        let mut others = others.filter_map(|other| self.directories.get(other));
        others
            .find(|other| is_original(other.files.get(name)))
            .map(|original| Arc::clone(&original.path))
    }

    /// Adds the duplicates whose originals were removed.
    pub(super) fn retry_duplicates(&mut self) {
        for (id, name) in std::mem::take(&mut self.duplicates) {
            // It may have been added with other labels since.
            let is_waiting = |file: &FileEntry| file.duplicate;
            let directory = self
                .directories
                .get(&id)
                .filter(|it| it.files.get(&name).is_some_and(is_waiting));
            let Some((subsystem, _)) = directory.and_then(|it| it.subsystem.clone()) else {
                continue;
            };
            if self.duplicate_of(id, &subsystem, &name).is_some() {
                self.duplicates.insert((id, name));
                continue;
            }
            self.update(id, |directory| {
                if let Some(file) = directory.files.get_mut(&name) {
                    file.duplicate = false;
                }
            });
            if let Some(discovered) = self.discovered_file(id, &name) {
                self.add_file(id, discovered);
            }
        }
    }

    /// A new file marks those of the same name in its ancestors: they may be sums.
    fn mark_ancestors(&mut self, id: DirectoryId, name: &Arc<CString>) {
        let mut ancestor = self.directories[&id].parent;
        while let Some(current) = ancestor {
            let Some(directory) = self.directories.get_mut(&current) else {
                return;
            };
            ancestor = directory.parent;
            let Some(file) = directory
                .files
                .get_mut(name)
                .filter(|file| !file.same_name_below)
            else {
                continue;
            };
            file.same_name_below = true;
            if file.duplicate {
                continue;
            }
            self.change_file(current, name);
        }
    }

    /// The series or the declaration of a known file has changed.
    pub(super) fn change_file(&mut self, id: DirectoryId, name: &Arc<CString>) {
        let discovered = self.discovered_file(id, name);
        // A file that this scan has added is replaced in the list.
        let mut added = self.changes.added.iter_mut().rev();
        let added = added
            .find(|(directory_ref, _)| directory_ref.directory == id)
            .and_then(|(_, files)| files.iter_mut().find(|it| it.file == *name));
        match (added, discovered) {
            (Some(added), Some(discovered)) => *added = discovered,
            (None, discovered) => {
                let changed = self.directory_ref(id).zip(discovered);
                self.changes.changed.extend(changed);
            }
            _ => {}
        }
    }

    /// Whether a descendant directory has a file of this name, as far as descendants are listed.
    fn exists_in_descendant(&self, id: DirectoryId, name: &Arc<CString>) -> bool {
        let children = self
            .directories
            .get(&id)
            .into_iter()
            .flat_map(|it| it.children.values());
        children.into_iter().any(|child| {
            self.directories
                .get(child)
                .is_some_and(|it| it.files.get(name).is_some())
                || self.exists_in_descendant(*child, name)
        })
    }

    /// The series of a file.
    pub(crate) fn discovered_file(
        &mut self,
        id: DirectoryId,
        name: &Arc<CString>,
    ) -> Option<DiscoveredFile> {
        let directory = self.directories.get(&id)?;
        let file = directory.files.get(name)?;
        let (subsystem, _) = directory.subsystem.clone()?;
        let (mode, same_name_below) = (u32::from(file.mode), file.same_name_below);
        let (metric, text) = self.interner.metric(&subsystem, name);
        let schema = directory.schema.as_ref();
        let entry = schema.and_then(|schema| schema.metrics.get(&*text));
        let declared = entry.map(|entry| {
            let (declared, agrees) = self.interner.declared(&metric, &entry.declared);
            if !agrees {
                self.failure_log.record_once(
                    SCHEMA_LINES_FAILED,
                    "schema",
                    "not understood in a `.schema`; passed over",
                    format!(
                        "{}/.schema:{}: `{text}` has another FLAG than in a directory before",
                        directory.path, entry.line
                    ),
                );
            }
            declared
        });
        let mut source_file = SourceFile::new(Arc::clone(&text));
        (
            source_file.mode,
            source_file.declared,
            source_file.same_name_below,
        ) = (mode, declared, same_name_below);
        let source_file = self.interner.source_file(source_file);
        let format = self
            .plan
            .format(&directory.path, &text, entry.and_then(|entry| entry.format));
        let mut series = Series::of(metric, Arc::clone(&directory.attributes));
        series.source = Some(Source::new(Arc::clone(&directory.source), source_file));
        Some(DiscoveredFile {
            file: Arc::clone(name),
            format,
            series,
        })
    }
}
