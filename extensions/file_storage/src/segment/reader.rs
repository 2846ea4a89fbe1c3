//! Reads a segment from its beginning on: what a request refers to is defined before it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use pipeline::{Batch, LogPosition};

use super::header::{Header, HeaderError, is_plausible};
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
    looks: u32,
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
    /// No request any more. What is none begins there, if anything.
    End { torn: Option<u64> },
}

/// What looks like a record and is none is looked at so often in a segment: a file may be made to look so everywhere.
const MAX_LOOKS: u32 = 64;
/// Of a record that is looked for, the number is not further than this from the last one's.
const MAX_GAP: u64 = 1 << 20;

impl SegmentReader {
    /// Opens a segment; the inner error says why it is none.
    pub(crate) fn open(path: &Path) -> io::Result<Result<SegmentReader, HeaderError>> {
        let mut options = OpenOptions::new();
        // A pipe of its name would hold up whoever opens it; so would a link to one.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
        SegmentReader::of(options.read(true).open(path)?)
    }

    /// Reads this file.
    pub(crate) fn of(file: File) -> io::Result<Result<SegmentReader, HeaderError>> {
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
            looks: 0,
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
        while self.offset < len {
            let record = match self.read_record(len)? {
                Record::Whole { request, payload } => Some((request, payload.len())),
                _ => None,
            };
            if let Some((request, payload_len)) = record {
                self.offset += (HEAD + payload_len) as u64;
                if let Some(item) = self.decode(request, &is_wanted) {
                    return Ok(item);
                }
            } else if let Some(offset) = self.find_record(len)? {
                self.offset = offset;
            } else {
                let torn = Some(std::mem::replace(&mut self.offset, len));
                return Ok(Item::End { torn });
            }
            self.is_damaged = true;
            self.decoder.passes_over();
        }
        Ok(Item::End { torn: None })
    }

    /// The request that the record has; `None` if it is damaged, or of another place or time.
    fn decode(&mut self, request: u64, is_wanted: impl Fn(LogPosition) -> bool) -> Option<Item> {
        let payload = &self.record[HEAD..];
        let envelope = Envelope::read(payload).ok()?;
        let at = envelope.position(request);
        if at < self.next || !is_plausible(&at) {
            return None;
        }
        let request = if is_wanted(at) {
            Some(self.decoder.decode(payload).ok()?)
        } else {
            self.decoder.skip(payload).ok()?;
            None
        };
        self.next = at.after(envelope.points);
        Some(Item::Request {
            at,
            envelope,
            request,
        })
    }

    /// Where the next whole record begins, behind one that is damaged.
    fn find_record(&mut self, len: u64) -> io::Result<Option<u64>> {
        let damaged = self.offset;
        let mut window = vec![0; 64 << 10];
        let mut from = damaged + 1;
        let mut found = None;
        while found.is_none() && from + (HEAD as u64) <= len {
            let read = read_at(&self.file, &mut window, from)?;
            // Somebody may have appended more since.
            let read = read.min(usize::try_from(len - from).unwrap_or(usize::MAX));
            if read < HEAD {
                break;
            }
            for at in 0..=read - HEAD {
                let offset = from + at as u64;
                if self.looks < MAX_LOOKS && self.may_be_record(&window[at..at + HEAD], offset, len)
                {
                    self.looks += 1;
                    self.offset = offset;
                    if matches!(self.read_record(len)?, Record::Whole { .. }) {
                        found = Some(offset);
                        break;
                    }
                }
            }
            from += (read - HEAD + 1) as u64;
        }
        self.offset = damaged;
        Ok(found)
    }

    /// Whether these bytes at this place look like a record's head.
    fn may_be_record(&self, head: &[u8], offset: u64, len: u64) -> bool {
        let number = |bytes: &[u8]| {
            let bytes = bytes.iter().rev();
            bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let (payload, request) = (number(&head[..4]), number(&head[8..]));
        let gap = request.checked_sub(self.next.requests);
        payload > 0 && payload <= len - offset - HEAD as u64 && gap.is_some_and(|it| it < MAX_GAP)
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
