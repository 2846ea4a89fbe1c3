//! The scanner: it finds the tree, and scans it for changes.

mod state;
mod threads;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pipeline::telemetry::FoundTree;

use super::demand::DemandedChanges;
use super::inotify::ChangeProbe;
use crate::directory_id::DirectoryId;
use crate::root::Root;

pub(crate) use threads::Scanner;

/// A request for a scan.
#[derive(Debug)]
pub(crate) struct ScanRequest {
    /// Scans the whole tree, and looks for the root if it is missing; else only handles inotify events and polled directories.
    pub(crate) full: bool,
    /// Files that were refused by `limits.series`, to be offered again.
    pub(crate) refused: BTreeSet<(DirectoryId, Arc<CString>)>,
    /// When the kernel last told that nothing had changed since the last scan, unix ns.
    pub(crate) unchanged_at: Option<u64>,
}

/// The events of a scan, in this order. Changes may also come after it, from a directory that has not answered in time. Their
/// channel has room for 32 of them, for each receiver: what is large has a box.
#[derive(Debug)]
pub(crate) enum ScanEvent {
    /// The root is gone or was replaced: every series ends.
    RootGone,
    /// The root was found.
    RootOpened(OpenRoot),
    /// Files that were removed, changed and added.
    Changes(Box<DemandedChanges>),
    /// The scan is over.
    Finished(Box<ScanReport>),
    /// A scanning thread has panicked.
    BrokenDown,
}

/// The result of a scan.
#[derive(Debug)]
pub(crate) struct ScanReport {
    /// The tree, or why there is none.
    pub(crate) tree: Result<ScannedTree, String>,
    /// CPU time of the scan.
    pub(crate) cpu: Duration,
}

/// A root that is open.
#[derive(Clone, Debug)]
pub(crate) struct OpenRoot {
    pub(crate) root: Arc<Root>,
    pub(crate) filesystem: Arc<str>,
}

/// What is known of a tree that was scanned.
#[derive(Debug)]
pub(crate) struct ScannedTree {
    pub(crate) path: PathBuf,
    pub(crate) filesystem: Arc<str>,
    pub(crate) directories: usize,
    /// Its subsystems; for a full scan only.
    pub(crate) found: FoundTree,
    /// Why there is nothing to sweep; for a full scan only.
    pub(crate) why_nothing: String,
    /// Tells that a scan would find nothing.
    pub(crate) change_probe: Option<Arc<ChangeProbe>>,
}
