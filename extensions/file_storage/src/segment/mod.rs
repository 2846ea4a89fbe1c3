//! Segments: files that requests are appended to, one after the other, until they are large enough.
//!
//! ```text
//! file   = magic | format u32 | request u64 | points u64 | time u64 | thinned u32 | crc32c u32 | record…
//! record = length u32 | crc32c of what follows u32 | request u64 | payload
//! ```
//!
//! Numbers are little-endian. A file is named by the number of its first request; its header has the points before that one,
//! when it was begun, unix ns, and how often it was thinned.

mod header;
mod name;
mod reader;
mod record;
mod writer;

pub(crate) use header::{Header, HeaderError, is_plausible};
pub(crate) use name::{file_name, first_request, set_aside};
pub(crate) use reader::{Item, SegmentReader};
pub(crate) use writer::SegmentWriter;

#[cfg(any(test, fuzzing))]
pub(crate) use record::{HEAD, seal};
