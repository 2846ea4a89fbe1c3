//! The changes that a scan finds.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use pipeline::Series;

use crate::config::ValueFormat;
use crate::directory_id::DirectoryId;

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
    pub(crate) changed: Vec<(DirectoryId, DiscoveredFile)>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed_directories.is_empty()
            && self.removed_files.is_empty()
            && self.changed.is_empty()
    }
}

/// A file that can be read, and its series.
#[derive(Debug)]
pub(crate) struct DiscoveredFile {
    pub(crate) file: Arc<CString>,
    pub(crate) format: ValueFormat,
    /// The start time of its series, unix ns; 0 where it is not known.
    pub(crate) start_time: u64,
    pub(crate) series: Series,
}

/// The directory of discovered files.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryRef {
    pub(crate) directory: DirectoryId,
    pub(crate) subsystem: Arc<str>,
    /// The path below the root.
    pub(crate) below: Arc<Path>,
}
