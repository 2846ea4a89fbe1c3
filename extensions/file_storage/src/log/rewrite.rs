//! What waits is thinned before anything is dropped: two segments become one.

use std::io;

use pipeline::{Batch, LogPosition, Thin, WhenFull};

use super::ranges::overlaps;
use super::read::UNREADABLE;
use super::{Log, Segment};
use crate::config::Fsync;
use crate::directory::sync_folder;
use crate::segment::{Header, Item, SegmentReader, SegmentWriter};

/// So many points are thinned together: some 50 MB of memory.
const POINTS_TOGETHER: u64 = 1 << 20;
/// What is as coarse as this is not made coarser: a sweep of 2^20.
const MAX_THINNED: u32 = 20;
/// Behind the name of a segment that is being written anew.
const NEW: &str = "new";

/// What became of two segments.
enum Rewritten {
    /// They are one now, which is smaller.
    Smaller,
    /// They are as they were: one of both would hardly be smaller.
    NotSmaller,
    /// They are as they were: one of them is damaged, which is known from now on.
    Damaged,
}

impl Log {
    /// Thins two neighbours into one: the oldest of those that were thinned as often as one another, and least, so that what
    /// waits becomes coarser evenly. Whether that gave room.
    pub(super) fn thin_oldest(&mut self) -> bool {
        let WhenFull::Thin(thin) = self.when_full else {
            return false;
        };
        while let Some(at) = self.next_pair() {
            match self.rewrite(at, thin) {
                Ok(Rewritten::Damaged) => {}
                Ok(Rewritten::Smaller) => {
                    let message =
                        "what waits on disk takes more than `max_size`; its sweeps are thinned";
                    self.warnings
                        .warn(message, &self.folder.display().to_string());
                    return true;
                }
                Ok(Rewritten::NotSmaller) => return false,
                Err(error) => {
                    let message = "what waits on disk cannot be thinned";
                    self.warnings.warn(message, &error.to_string());
                    return false;
                }
            }
        }
        false
    }

    /// The first of the two that are thinned next. What is damaged stays as it is: it is set aside once it was read.
    fn next_pair(&self) -> Option<usize> {
        // The last one is appended to.
        let pairs = 0..self.segments.len().saturating_sub(2);
        let both = |at: usize| [&self.segments[at], &self.segments[at + 1]];
        let thinned = |at: usize| both(at).map(|it| it.header.thinned);
        let coarse = |at: usize| thinned(at).into_iter().max();
        pairs
            .filter(|at| !both(*at).iter().any(|it| it.is_damaged))
            .filter(|at| coarse(*at) < Some(MAX_THINNED))
            .min_by_key(|at| {
                let [older, newer] = thinned(*at);
                (older != newer, coarse(*at))
            })
    }

    fn rewrite(&mut self, at: usize, thin: Thin) -> io::Result<Rewritten> {
        let (older, newer) = (&self.segments[at], &self.segments[at + 1]);
        let header = Header {
            thinned: older.header.thinned.max(newer.header.thinned) + 1,
            ..older.header
        };
        let path = older.path.with_extension(NEW);
        let mut writer = SegmentWriter::create_at(path.clone(), header)?;
        let before = older.len + newer.len;
        let copied = self.copy_both(at, &mut writer, thin, header.thinned);
        // A twentieth less is not worth the work, nor the resolution.
        let is_smaller = writer.len() < before / 20 * 19;
        if !matches!(copied, Ok(None)) || !is_smaller {
            std::fs::remove_file(&path)?;
            return Ok(if let Some(damaged) = copied? {
                self.segments[damaged].damaged(&self.warnings, UNREADABLE);
                Rewritten::Damaged
            } else {
                Rewritten::NotSmaller
            });
        }
        std::fs::rename(&path, &self.segments[at].path)?;
        // Else a power failure could take the newer one before the older one has it.
        if self.settings.fsync != Fsync::Never
            && let Err(error) = sync_folder(&self.folder)
        {
            (self.is_synced, self.failed_sync) = (false, Some(error));
        }
        self.reader = None;
        if let Some(newer) = self.segments.remove(at + 1) {
            self.segments[at].last_time = newer.last_time;
            self.remove(&newer);
        }
        let segment = &mut self.segments[at];
        (segment.header, segment.len) = (header, writer.len());
        Ok(Rewritten::Smaller)
    }

    /// What is left of two neighbours, onto the disk itself. If one of them is damaged, which.
    fn copy_both(
        &self,
        at: usize,
        writer: &mut SegmentWriter,
        thin: Thin,
        times: u32,
    ) -> io::Result<Option<usize>> {
        for index in [at, at + 1] {
            if !self.copy_thinned(&self.segments[index], writer, thin, times)? {
                return Ok(Some(index));
            }
        }
        if self.settings.fsync != Fsync::Never {
            writer.sync()?;
        }
        Ok(None)
    }

    /// What is left of a segment's requests that are still to be sent. Whether all of it could be read.
    fn copy_thinned(
        &self,
        segment: &Segment,
        writer: &mut SegmentWriter,
        thin: Thin,
        times: u32,
    ) -> io::Result<bool> {
        let opened = SegmentReader::open(&segment.path)?;
        let mut reader = opened.map_err(|error| io::Error::other(error.to_string()))?;
        let (mut places, mut requests, mut points) = (Vec::new(), Vec::new(), 0);
        loop {
            let item = reader.next(segment.len, |_| true)?;
            let is_end = matches!(item, Item::End { .. });
            if reader.is_damaged() || matches!(item, Item::End { torn: Some(_) }) {
                return Ok(false);
            }
            if let Item::Request {
                at,
                envelope,
                request: Some(request),
            } = item
                && overlaps(&self.cursor.pending, &(at..at.after(envelope.points)))
            {
                places.push(at);
                requests.push(request);
                points += envelope.points;
            }
            if is_end || points >= POINTS_TOGETHER {
                thin(&mut requests, times);
                append(
                    &std::mem::take(&mut places),
                    &std::mem::take(&mut requests),
                    writer,
                )?;
                points = 0;
            }
            if is_end {
                return Ok(true);
            }
        }
    }
}

fn append(
    places: &[LogPosition],
    requests: &[Vec<Batch>],
    writer: &mut SegmentWriter,
) -> io::Result<()> {
    let all = places.iter().zip(requests);
    all.filter(|(_, request)| !request.is_empty())
        .try_for_each(|(at, request)| writer.append(*at, request))
}
