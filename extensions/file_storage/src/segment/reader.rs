//! Reads a segment from its beginning on: what a request refers to is defined before it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use pipeline::{Batch, LogPosition};

use super::header::{Header, HeaderError};
use super::record::{HEAD, Record, parse};
use crate::codec::{Decoder, Envelope};

/// A segment, and how far it was read.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: File,
    header: Header,
    offset: u64,
    decoder: Decoder,
    record: Vec<u8>,
    /// No request before this one stands here any more.
    next: LogPosition,
    is_damaged: bool,
}

/// What stands next in a segment.
#[derive(Debug)]
pub(crate) enum Item {
    /// A request, decoded where that was asked for.
    Request {
        at: LogPosition,
        envelope: Envelope,
        request: Option<Vec<Batch>>,
    },
    /// Nothing more. What may be half a record begins there.
    End { torn: Option<u64> },
}

impl SegmentReader {
    /// Opens a segment; the inner error says why it is none.
    pub(crate) fn open(path: &Path) -> io::Result<Result<SegmentReader, HeaderError>> {
        let mut options = OpenOptions::new();
        // A pipe of its name would hold up whoever opens it; so would a link to one.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
        let file = options.read(true).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(Err(HeaderError::Foreign));
        }
        let mut bytes = vec![0; Header::LEN];
        let read = read_at(&file, &mut bytes, 0)?;
        Ok(Header::read(&bytes[..read]).map(|header| SegmentReader {
            file,
            header,
            offset: Header::LEN as u64,
            decoder: Decoder::default(),
            record: Vec::new(),
            next: header.start,
            is_damaged: false,
        }))
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// Whether something of what was read was damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// The position behind the last request.
    pub(crate) fn position(&self) -> LogPosition {
        self.next
    }

    /// What stands next up to this many bytes of the file, decoded if `is_wanted` says so of its position. What is damaged is
    /// passed over.
    pub(crate) fn next(
        &mut self,
        len: u64,
        is_wanted: impl Fn(LogPosition) -> bool,
    ) -> io::Result<Item> {
        loop {
            if self.offset >= len {
                return Ok(Item::End { torn: None });
            }
            let record_len = match self.read_record(len)? {
                Record::Whole { request, payload } => {
                    let len = (HEAD + payload.len()) as u64;
                    let envelope = Envelope::read(payload);
                    let at = envelope.map(|it| it.position(request));
                    // A record of another place, or of another time.
                    let at = at.ok().filter(|at| *at >= self.next);
                    let decoded = match (at, envelope) {
                        (Some(at), Ok(envelope)) => {
                            let is_wanted = is_wanted(at);
                            let payload = &self.record[HEAD..];
                            let request = decode(&mut self.decoder, payload, is_wanted);
                            request.map(|request| (at, envelope, request))
                        }
                        _ => None,
                    };
                    self.offset += len;
                    let Some((at, envelope, request)) = decoded else {
                        self.is_damaged = true;
                        continue;
                    };
                    self.next = at.after(envelope.points);
                    return Ok(Item::Request {
                        at,
                        envelope,
                        request,
                    });
                }
                Record::Torn(_) => {
                    let torn = Some(self.offset);
                    self.offset = len;
                    return Ok(Item::End { torn });
                }
                Record::Damaged(record_len) => record_len,
            };
            self.is_damaged = true;
            self.offset += record_len as u64;
        }
    }

    /// The record at the offset, into a buffer that is no larger than what is there.
    fn read_record(&mut self, len: u64) -> io::Result<Record<'_>> {
        let left = usize::try_from(len - self.offset).unwrap_or(usize::MAX);
        self.fill(HEAD.min(left))?;
        if let Record::Torn(whole) = parse(&self.record)
            && whole <= left
        {
            self.fill(whole)?;
        }
        Ok(parse(&self.record))
    }

    /// So many bytes at the offset, or as many as there are.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        self.record.resize(len, 0);
        let read = read_at(&self.file, &mut self.record, self.offset)?;
        self.record.truncate(read);
        Ok(())
    }
}

/// The request, if it is wanted; `None` if it is damaged.
#[allow(clippy::option_option)]
fn decode(decoder: &mut Decoder, payload: &[u8], is_wanted: bool) -> Option<Option<Vec<Batch>>> {
    if !is_wanted {
        return decoder.skip(payload).ok().map(|()| None);
    }
    decoder.decode(payload).ok().map(Some)
}

/// As much as there is.
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
