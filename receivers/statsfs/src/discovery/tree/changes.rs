//! What a check of the tree found.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use pipeline::Series;

use crate::config::Format;
use crate::directory_id::DirectoryId;

/// What a check of the tree found.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Files that came, in path order, by directory.
    pub(crate) added: Vec<(DirectoryRef, Vec<DiscoveredFile>)>,
    /// Directories that went, with all their files.
    pub(crate) removed_directories: Vec<DirectoryId>,
    /// Files that went, in directories that stay.
    pub(crate) removed_files: Vec<(DirectoryId, Arc<CString>)>,
    /// Files whose series is another than before.
    pub(crate) changed: Vec<(DirectoryId, DiscoveredFile)>,
}

/// A file that can be read, and its series.
#[derive(Debug)]
pub(crate) struct DiscoveredFile {
    pub(crate) file: Arc<CString>,
    pub(crate) format: Format,
    /// Since when it counts, unix ns; 0 where that is not known.
    pub(crate) start_time: u64,
    pub(crate) series: Series,
}

/// Where files stand.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryRef {
    pub(crate) directory: DirectoryId,
    pub(crate) subsystem: Arc<str>,
    /// Below the root.
    pub(crate) below: Arc<Path>,
    /// It may be a link: one right in the root.
    pub(crate) follow_link: bool,
}
