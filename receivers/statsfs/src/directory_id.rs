//! The number of a directory of the tree.

/// A directory's number, never used twice.
pub(crate) type DirectoryId = u64;
