//! A directory as it was last seen.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use pipeline::{Attributes, FdBudget, SourceDirectory};

use super::file_list::FileList;
use crate::directory_id::DirectoryId;
use crate::discovery::schema::Schema;

/// A directory of the tree.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) parent: Option<DirectoryId>,
    /// The path below the root, as raw bytes; empty for the root.
    pub(super) below: Arc<Path>,
    /// The path with the subsystem first, as text: `kvm/1-2/vcpu0`; empty for a root of subsystems.
    pub(super) path: Arc<str>,
    /// The same as the source of its series.
    pub(super) source: Arc<SourceDirectory>,
    /// The subsystem, and how many directories below it this one is; `None` for a root of subsystems.
    pub(super) subsystem: Option<(Arc<str>, usize)>,
    pub(super) inode: u64,
    pub(super) children: BTreeMap<Box<CStr>, DirectoryId>,
    pub(super) files: FileList,
    pub(super) schema: Option<Arc<Schema>>,
    pub(super) attributes: Arc<Attributes>,
    /// The start time of its counters, unix ns; 0 where it is not known.
    pub(super) start_time: u64,
    /// The inotify watch; a directory without one is polled.
    pub(super) watch: Option<i32>,
    pub(super) open: Option<OpenDirectory>,
}

/// A directory that is kept open. Dropping it returns its descriptor to the budget.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub(super) fd: OwnedFd,
    pub(super) fd_budget: FdBudget,
}

impl Drop for OpenDirectory {
    fn drop(&mut self) {
        self.fd_budget.give(1);
    }
}
