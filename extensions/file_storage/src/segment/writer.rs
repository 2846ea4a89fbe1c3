//! The segment that is appended to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pipeline::{Batch, LogPosition};

use super::header::Header;
use super::name::file_name;
use super::record::{HEAD, seal};
use crate::codec::Encoder;

/// Appends to a segment of its own, never to one that was there.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    file: File,
    path: PathBuf,
    encoder: Encoder,
    record: Vec<u8>,
    /// So many bytes are written.
    len: u64,
}

impl SegmentWriter {
    /// A segment that begins there. What has its name can hold nothing that is still needed.
    pub(crate) fn create(folder: &Path, header: Header) -> io::Result<SegmentWriter> {
        SegmentWriter::create_at(folder.join(file_name(header.start.requests)), header)
    }

    /// The same in another file.
    pub(crate) fn create_at(path: PathBuf, header: Header) -> io::Result<SegmentWriter> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.open(&path)?;
        let bytes = header.to_bytes();
        if let Err(error) = file.write_all_at(&bytes, 0) {
            // It holds nothing.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(SegmentWriter {
            file,
            path,
            encoder: Encoder::default(),
            record: Vec::new(),
            len: bytes.len() as u64,
        })
    }

    /// Appends a request. After an error it must not be used again: what it has appended before is whole.
    pub(crate) fn append(&mut self, at: LogPosition, request: &[Batch]) -> io::Result<()> {
        self.record.clear();
        self.record.resize(HEAD, 0);
        self.encoder.encode(at, request, &mut self.record);
        if !seal(at.requests, &mut self.record) {
            return Err(io::Error::other("the request is too large"));
        }
        if let Err(error) = self.file.write_all_at(&self.record, self.len) {
            // What of it is there would be found damaged.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += self.record.len() as u64;
        // One large request does not hold its memory for ever.
        self.record.shrink_to(1 << 20);
        Ok(())
    }

    /// Returns when all that was appended is on the disk itself.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
