//! Discovery: the root is found, its tree is scanned, and changes in it are noticed.

mod demand;
mod inotify;
mod mount;
pub(crate) mod name;
mod scan;
pub(crate) mod schema;
mod tree;

pub(crate) use demand::{DemandedChanges, head_of, is_wanted};
pub(crate) use inotify::ChangeProbe;
pub(crate) use mount::{display_path, expected_root};
pub(crate) use scan::{OpenRoot, ScanEvent, ScanReport, ScanRequest, ScannedTree, Scanner};
pub(crate) use tree::{DOES_NOT_ANSWER, DirectoryRef, DiscoveredFile};
