//! The files of a directory, sorted by name. It is compact, since there may be a million files.

use std::ffi::{CStr, CString};
use std::sync::Arc;

/// A regular file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileEntry {
    pub(super) mode: u16,
    pub(super) same_name_below: bool,
    /// Another file already is the same series.
    pub(super) duplicate: bool,
}

/// Files by their names.
#[derive(Debug, Default)]
pub(super) struct FileList(Vec<(Arc<CString>, FileEntry)>);

impl FileList {
    pub(super) fn get(&self, name: &CStr) -> Option<&FileEntry> {
        self.position(name).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, name: &CStr) -> Option<&mut FileEntry> {
        self.position(name).ok().map(|at| &mut self.0[at].1)
    }

    pub(super) fn insert(&mut self, name: Arc<CString>, file: FileEntry) {
        match self.position(&name) {
            Ok(at) => self.0[at].1 = file,
            Err(at) => self.0.insert(at, (name, file)),
        }
    }

    pub(super) fn remove(&mut self, name: &CStr) {
        if let Ok(at) = self.position(name) {
            self.0.remove(at);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<CString>, &FileEntry)> {
        self.0.iter().map(|(name, file)| (name, file))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<CString>> {
        self.0.iter().map(|(name, _)| name)
    }

    pub(super) fn into_names(self) -> impl Iterator<Item = Arc<CString>> {
        self.0.into_iter().map(|(name, _)| name)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    fn position(&self, name: &CStr) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(have, _)| have.as_c_str().cmp(name))
    }
}
