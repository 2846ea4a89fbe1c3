//! A directory as it was last seen.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use pipeline::{Attributes, Budget, SourceDirectory};

use super::file_list::FileList;
use crate::directory_id::DirectoryId;
use crate::discovery::schema::Schema;

/// How much of a directory is in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// Nothing: it was never listed, and may not answer.
    Never,
    /// Not all that was there when it was last to be listed: it has not answered, or a limit was met.
    InPart,
    /// All that was there then.
    Whole,
}

impl Listed {
    /// It was to be listed again, and could not be.
    pub(super) fn miss(&mut self) {
        if *self == Listed::Whole {
            *self = Listed::InPart;
        }
    }
}

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
    /// That of the link, if one leads to it.
    pub(super) inode: u64,
    pub(super) is_link: bool,
    /// Device and inode of what the link leads to, once it was opened.
    pub(super) link_target: Option<(u64, u64)>,
    pub(super) children: BTreeMap<Box<CStr>, DirectoryId>,
    pub(super) files: FileList,
    pub(super) schema: Option<Arc<Schema>>,
    pub(super) listed: Listed,
    /// Whether it had a directory that may be a device, selected or not.
    pub(super) has_device: bool,
    /// Whether it has a `.schema` that was read, understood or not.
    pub(super) has_schema: bool,
    /// The size of its `.schema`, as far as that is kept.
    pub(super) schema_bytes: usize,
    pub(super) attributes: Arc<Attributes>,
    /// The inotify watch; a directory without one is polled.
    pub(super) watch: Option<i32>,
    pub(super) open: Option<OpenDirectory>,
}

impl Directory {
    /// How many directories below its subsystem it is; `None` for a root of subsystems.
    pub(super) fn depth(&self) -> Option<usize> {
        self.subsystem.as_ref().map(|(_, depth)| *depth)
    }
}

/// A directory that is kept open. Dropping it returns its descriptor to the budget.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) fd_budget: Budget,
}

impl Drop for OpenDirectory {
    fn drop(&mut self) {
        self.fd_budget.give(1);
    }
}
