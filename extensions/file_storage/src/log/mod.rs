//! A log of requests: segments, and a cursor that says what of them is still to be sent.

mod ranges;
mod read;
mod recover;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pipeline::telemetry::Warnings;
use pipeline::{Batch, LogPosition, LogRange, WhenFull, points};

use crate::config::Fsync;
use crate::cursor::{Cursor, CursorFile};
use crate::directory::sync_folder;
use crate::segment::{Header, SegmentReader, SegmentWriter, set_aside};

pub(crate) use read::Read;
pub(crate) use recover::recover;

use ranges::{overlaps, with_rest};

/// No segment becomes much larger than this.
const MAX_SEGMENT: u64 = 16 << 20;
/// A log is a few segments at least, so that what gives way is a part of it.
const MIN_SEGMENTS: u64 = 8;

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) max_size: u64,
    /// Zero: no matter how old.
    pub(crate) max_age: Duration,
    pub(crate) fsync: Fsync,
}

/// A segment's file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    pub(crate) len: u64,
    /// When it was last appended to, unix ns, as far as that is known.
    pub(crate) last_time: u64,
    is_damaged: bool,
}

/// A log, as its thread works on it.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    settings: Settings,
    segments: VecDeque<Segment>,
    /// Of the last segment, while it is appended to.
    writer: Option<SegmentWriter>,
    reader: Option<SegmentReader>,
    cursor_file: CursorFile,
    cursor: Cursor,
    is_cursor_written: bool,
    is_synced: bool,
    /// Whether the folder is on the disk itself with its newest segment's name.
    is_folder_synced: bool,
    /// Why a segment that has ended could not be forced onto the disk; who asks next is told.
    failed_sync: Option<io::Error>,
    warnings: Warnings,
    when_full: WhenFull,
}

impl Log {
    /// The log of this folder. What is there stays.
    ///
    /// # Errors
    /// What the folder or its files are in the way by.
    pub(crate) fn open(
        folder: &Path,
        settings: Settings,
        warnings: Warnings,
        when_full: WhenFull,
    ) -> Result<Log, String> {
        let found = recover(folder, true)?;
        for damage in &found.damage {
            warnings.warn_again(DAMAGED, damage);
        }
        let mut log = Log {
            folder: folder.to_owned(),
            settings,
            segments: found.segments,
            writer: None,
            reader: None,
            cursor_file: CursorFile::new(folder),
            cursor: found.cursor,
            is_cursor_written: false,
            is_synced: true,
            is_folder_synced: true,
            failed_sync: None,
            warnings,
            when_full,
        };
        // Both slots, so that there is room for them from now on. A disk that fails now may work later.
        if let Err(error) = log.cursor_file.write(&log.cursor)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return Err(format!("cannot use {}: {error}", folder.display()));
        }
        log.write_cursor();
        Ok(log)
    }

    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Appends a request at the log's end. After an error it is not there, and the log goes on behind it.
    pub(crate) fn append(
        &mut self,
        at: LogPosition,
        request: &[Batch],
        now: u64,
    ) -> io::Result<()> {
        self.cursor.end = at.after(points(request));
        self.is_cursor_written = false;
        let result = self.append_to_segment(at, request, now);
        if result.is_ok() {
            // Else a cursor that is written now would say that it is done with.
            let pending = std::mem::take(&mut self.cursor.pending);
            self.cursor.pending = with_rest(pending, at, self.cursor.end);
        } else {
            self.end_segment();
        }
        result
    }

    fn append_to_segment(
        &mut self,
        at: LogPosition,
        request: &[Batch],
        now: u64,
    ) -> io::Result<()> {
        if self.is_segment_full(now) {
            self.end_segment();
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let header = Header {
                    start: at,
                    time: now,
                    thinned: 0,
                };
                let writer = SegmentWriter::create(&self.folder, header)?;
                self.is_folder_synced = false;
                self.segments.push_back(Segment {
                    path: writer.path().to_owned(),
                    header,
                    len: writer.len(),
                    last_time: now,
                    is_damaged: false,
                });
                none.insert(writer)
            }
        };
        self.is_synced = false;
        writer.append(at, request)?;
        if let Some(segment) = self.segments.back_mut() {
            segment.len = writer.len();
            segment.last_time = now;
        }
        Ok(())
    }

    fn segment_size(&self) -> u64 {
        (self.settings.max_size / MIN_SEGMENTS).min(MAX_SEGMENT)
    }

    fn is_segment_full(&self, now: u64) -> bool {
        let (Some(writer), Some(segment)) = (&self.writer, self.segments.back()) else {
            return false;
        };
        // What is old goes by whole segments: they may not span much of `max_age`.
        let age = now.saturating_sub(segment.header.time);
        let max_age = nanos(self.settings.max_age) / MIN_SEGMENTS;
        writer.len() >= self.segment_size() || max_age > 0 && age > max_age
    }

    /// The next request begins a new segment.
    fn end_segment(&mut self) {
        let Some(writer) = self.writer.take() else {
            return;
        };
        if self.settings.fsync != Fsync::Never
            && let Err(error) = writer.sync()
        {
            self.is_synced = false;
            self.failed_sync = Some(error);
        }
        if writer.len() == Header::LEN as u64
            && let Some(empty) = self.segments.pop_back()
        {
            self.remove(&empty);
        }
    }

    /// Whether something has to go, which may take a while.
    pub(crate) fn has_to_cut(&self, now: u64) -> bool {
        self.gives_way(now).is_some()
    }

    /// Whether the first segment has to go, and if so, whether for its age.
    fn gives_way(&self, now: u64) -> Option<bool> {
        let (first, max_age) = (self.segments.front()?, nanos(self.settings.max_age));
        let age = now.saturating_sub(first.last_time);
        let may_give_way = !matches!(self.when_full, WhenFull::Keep) && self.segments.len() > 1;
        let is_old = max_age > 0 && age > max_age;
        (is_old || may_give_way && self.is_large()).then_some(is_old)
    }

    /// Lets go what is too much or too old; where what is left begins, if anything went, and whether that was for its age.
    pub(crate) fn cut(&mut self, now: u64) -> Option<(LogPosition, bool)> {
        let mut cut = None;
        while let Some(is_old) = self.gives_way(now) {
            if !is_old && self.thin_oldest() {
                continue;
            }
            if self.segments.len() == 1 {
                self.writer = None;
            }
            let removed = self.segments.pop_front();
            removed.iter().for_each(|it| self.remove(it));
            cut = Some(is_old);
        }
        let before = self
            .segments
            .front()
            .map_or(self.cursor.end, |it| it.header.start);
        cut.map(|is_old| (before, is_old))
    }

    fn is_large(&self) -> bool {
        let bytes: u64 = self.segments.iter().map(|it| it.len).sum();
        bytes > self.settings.max_size
    }

    /// Whether more than there may be waits, and nothing gives way to what comes.
    pub(crate) fn is_full(&self) -> bool {
        let waits = !self.cursor.pending.is_empty();
        matches!(self.when_full, WhenFull::Keep) && waits && self.is_large()
    }

    /// Says what is still to be sent, and what of that may have arrived.
    pub(crate) fn keep(&mut self, ranges: Vec<LogRange>, tried: Vec<LogRange>) {
        (self.cursor.pending, self.cursor.tried) = (ranges, tried);
        self.is_cursor_written = false;
    }

    /// Writes down what is still to be sent, and removes what only others need.
    pub(crate) fn write_cursor(&mut self) {
        if self.is_cursor_written {
            return;
        }
        self.is_cursor_written = true;
        if let Err(error) = self.cursor_file.write(&self.cursor) {
            let message =
                "cannot write down what was sent; after the end of the program it is sent again";
            self.warnings.warn(message, &error.to_string());
            return;
        }
        self.remove_what_is_sent();
    }

    fn remove_what_is_sent(&mut self) {
        let ends = self.segments.iter().skip(1).map(|it| it.header.start);
        // The last one may be appended to.
        let is_needed = self
            .segments
            .iter()
            .zip(ends)
            .map(|(segment, end)| overlaps(&self.cursor.pending, &(segment.header.start..end)));
        let mut is_needed = is_needed.collect::<Vec<_>>();
        let last = self
            .segments
            .back()
            .map(|it| it.header.start..self.cursor.end);
        let last = last.map(|it| self.writer.is_some() || overlaps(&self.cursor.pending, &it));
        is_needed.extend(last);
        if is_needed.iter().all(|it| *it) {
            return;
        }
        // Else a power failure could leave a cursor that knows nothing of it.
        if self.settings.fsync != Fsync::Never && self.cursor_file.sync().is_err() {
            return;
        }
        let segments = std::mem::take(&mut self.segments);
        for (segment, is_needed) in segments.into_iter().zip(is_needed) {
            if is_needed {
                self.segments.push_back(segment);
            } else {
                self.remove(&segment);
            }
        }
    }

    fn remove(&self, segment: &Segment) {
        let result = if segment.is_damaged {
            set_aside(&segment.path)
        } else {
            std::fs::remove_file(&segment.path)
        };
        if let Err(error) = result {
            let detail = format!("{}: {error}", segment.path.display());
            self.warnings
                .warn("cannot remove a file of the queue", &detail);
        }
    }

    /// Whether all that was appended is on the disk itself.
    pub(crate) fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Returns when all that was appended is on the disk itself. After an error nobody knows: the log goes on in a new segment.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.is_synced = true;
        let failed = self.failed_sync.take().map_or(Ok(()), Err);
        let result = self.writer.as_ref().map_or(Ok(()), SegmentWriter::sync);
        let result = result.and_then(|()| self.sync_folder());
        if result.is_err() {
            self.writer = None;
        }
        failed.and(result)
    }

    /// Returns when the names of the segments are on the disk itself too.
    fn sync_folder(&mut self) -> io::Result<()> {
        if !self.is_folder_synced {
            sync_folder(&self.folder)?;
            self.is_folder_synced = true;
        }
        Ok(())
    }

    /// Ends it. Where nothing is left to be sent, no segment is left either.
    pub(crate) fn close(mut self) {
        self.end_segment();
        self.is_cursor_written = false;
        self.write_cursor();
    }
}

impl Segment {
    fn damaged(&mut self, warnings: &Warnings, why: &str) {
        if !std::mem::replace(&mut self.is_damaged, true) {
            warnings.warn_again(DAMAGED, &format!("{}: {why}", self.path.display()));
        }
    }
}

const DAMAGED: &str =
    "a file of the queue is damaged; what can be read of it is sent, and it is set aside";

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
