//! The changes that a scan finds.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use pipeline::{Created, LeftOut, Series};

use crate::directory_id::DirectoryId;
use crate::read::FileFormat;

/// The changes that a scan finds.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Files that were added, in path order, by directory.
    pub(crate) added: Vec<(DirectoryRef, Vec<DiscoveredFile>)>,
    /// Directories that were removed, with all their files.
    pub(crate) removed_directories: Vec<DirectoryId>,
    /// Files that were removed, in directories that stay.
    pub(crate) removed_files: Vec<(DirectoryId, Arc<CString>)>,
    /// Files whose series or declaration has changed.
    pub(crate) changed: Vec<(DirectoryRef, DiscoveredFile)>,
    /// What becomes no series, where that is asked.
    pub(crate) left_out: Vec<LeftOut>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed_directories.is_empty()
            && self.removed_files.is_empty()
            && self.changed.is_empty()
            && self.left_out.is_empty()
    }
}

/// A file that can be read, and its series.
#[derive(Debug)]
pub(crate) struct DiscoveredFile {
    pub(crate) file: Arc<CString>,
    pub(crate) format: FileFormat,
    pub(crate) series: Series,
}

impl DiscoveredFile {
    /// It continues the series of another file: what that one has shown came before, and this one may have counted before.
    pub(crate) fn forget_creation(&mut self) {
        let source = self.series.source.as_mut();
        if let Some(source) = source.filter(|it| it.directory.created != Created::Unknown) {
            Arc::make_mut(&mut source.directory).created = Created::Unknown;
        }
    }
}

/// The directory of discovered files.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryRef {
    pub(crate) directory: DirectoryId,
    pub(crate) subsystem: Arc<str>,
    /// The path below the root.
    pub(crate) below: Arc<Path>,
}
