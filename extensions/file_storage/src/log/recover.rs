//! What a log's folder holds.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use pipeline::LogPosition;

use super::Segment;
use super::ranges::with_rest;
use crate::cursor::{self, Cursor};
use crate::segment::{HeaderError, Item, SegmentReader, first_request, set_aside};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) segments: VecDeque<Segment>,
    /// With the log's end as it is, and all that is still to be sent.
    pub(crate) cursor: Cursor,
    /// What is no segment though it is called one, and why.
    pub(crate) damage: Vec<String>,
}

/// Looks at a log's folder. Where `mends` is true, what is damaged is set aside, and what a killed program began to write
/// is cut off.
///
/// # Errors
/// Files of a newer format: they are not to be touched. What the folder cannot be read for.
pub(crate) fn recover(folder: &Path, mends: bool) -> Result<Found, String> {
    let error = |error: io::Error| format!("cannot read {}: {error}", folder.display());
    let mut found = Found::default();
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let name = entry.map_err(error)?.file_name();
        numbers.extend(name.to_str().and_then(first_request));
    }
    numbers.sort_unstable();
    for number in numbers {
        found.add(folder, number, mends)?;
    }
    found.note_times();
    let cursor = cursor::read(folder);
    let known_end = cursor.as_ref().map(|it| it.end).unwrap_or_default();
    let end = found.find_end(known_end, mends).map_err(error)?;
    found.cursor = cursor.unwrap_or_else(|| {
        let start = found.segments.front().map(|it| it.header.start);
        let start = start.unwrap_or(end);
        Cursor {
            end: start,
            pending: Vec::new(),
            // Nobody knows.
            tried: with_rest(Vec::new(), start, end),
        }
    });
    let cursor = &mut found.cursor;
    cursor.pending = with_rest(std::mem::take(&mut cursor.pending), cursor.end, end);
    cursor.end = cursor.end.max(end);
    Ok(found)
}

/// Whether there is something, but no file.
fn is_no_file(error: &io::Error) -> bool {
    let (link, socket) = (rustix::io::Errno::LOOP, rustix::io::Errno::NXIO);
    [link, socket]
        .map(|it| Some(it.raw_os_error()))
        .contains(&error.raw_os_error())
}

impl Found {
    fn add(&mut self, folder: &Path, number: u64, mends: bool) -> Result<(), String> {
        let path = folder.join(crate::segment::file_name(number));
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let opened = match SegmentReader::open(&path) {
            // A link, a socket.
            Err(error) if is_no_file(&error) => Err(HeaderError::Foreign),
            // Who only looks does so beside a program that removes what it has sent.
            Err(error) if !mends && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| at(&error))?,
        };
        let before = self.segments.back().map(|it| it.header.start);
        let header = opened.map(|it| it.header()).and_then(|header| {
            let is_in_order = before.is_none_or(|it| it.points <= header.start.points);
            let is_here = header.start.requests == number && is_in_order;
            is_here.then_some(header).ok_or(HeaderError::Foreign)
        });
        match header {
            Ok(header) => {
                let metadata = path.metadata().map_err(|error| at(&error))?;
                self.segments.push_back(Segment {
                    path,
                    header,
                    len: metadata.len(),
                    last_time: header.time,
                    is_damaged: false,
                });
            }
            Err(newer @ HeaderError::Newer(_)) => {
                return Err(format!(
                    "{}; start that version again, or move the file away",
                    at(&newer)
                ));
            }
            // Where the disk does not let it be mended, it is not read all the same.
            Err(HeaderError::Short) if mends => {
                let _ = std::fs::remove_file(&path);
            }
            Err(HeaderError::Short) => {}
            Err(HeaderError::Foreign) => {
                self.damage.push(at(&HeaderError::Foreign));
                if mends && let Err(error) = set_aside(&path) {
                    self.damage.push(at(&error));
                }
            }
        }
        Ok(())
    }

    /// A segment was last appended to before the next one was begun.
    fn note_times(&mut self) {
        let begun: Vec<u64> = self
            .segments
            .iter()
            .skip(1)
            .map(|it| it.header.time)
            .collect();
        for (segment, begun) in self.segments.iter_mut().zip(begun) {
            segment.last_time = begun;
        }
    }

    /// Where the last segment ends. What a killed program began to write there, and did not come to write down the end of, is
    /// cut off: it never counted as queued.
    fn find_end(&mut self, known_end: LogPosition, mends: bool) -> io::Result<LogPosition> {
        let Some(last) = self.segments.back_mut() else {
            return Ok(LogPosition::default());
        };
        let Ok(mut reader) = SegmentReader::open(&last.path)? else {
            return Ok(last.header.start);
        };
        loop {
            match reader.next(last.len, |_| false)? {
                Item::Request { envelope, .. } => {
                    last.last_time = last.last_time.max(envelope.time);
                }
                Item::End { torn } => {
                    let torn = torn.filter(|_| reader.position() >= known_end);
                    if let Some(whole) = torn {
                        last.len = whole;
                        // Nothing behind that is read, whether it can be cut off or not.
                        if mends && let Ok(file) = OpenOptions::new().write(true).open(&last.path) {
                            let _ = file.set_len(whole);
                        }
                    }
                    return Ok(reader.position());
                }
            }
        }
    }
}
