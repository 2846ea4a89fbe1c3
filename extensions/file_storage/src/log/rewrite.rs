//! What waits is thinned before anything is dropped: two segments become one.

use std::io;

use pipeline::{Batch, LogPosition, Thin, WhenFull};

use super::ranges::overlaps;
use super::{Log, Segment};
use crate::config::Fsync;
use crate::segment::{Header, Item, SegmentReader, SegmentWriter};

/// So many points are thinned together: some 50 MB of memory.
const POINTS_TOGETHER: u64 = 1 << 20;
/// What is as coarse as this is not made coarser: a sweep of 2^20.
const MAX_THINNED: u32 = 20;
/// Behind the name of a segment that is being written anew.
const NEW: &str = "new";

impl Log {
    /// Thins two neighbours into one: the oldest of those that were thinned as often as one another, and least, so that what
    /// waits becomes coarser evenly. Whether that gave room.
    pub(super) fn thin_oldest(&mut self) -> bool {
        let WhenFull::Thin(thin) = self.when_full else {
            return false;
        };
        // The last one is appended to.
        let pairs = 0..self.segments.len().saturating_sub(2);
        let thinned = |at: usize| self.segments[at].header.thinned;
        let coarse = |at: &usize| thinned(*at).max(thinned(at + 1));
        let pairs = pairs.filter(|at| coarse(at) < MAX_THINNED);
        let pair = pairs.min_by_key(|at| (thinned(*at) != thinned(at + 1), coarse(at)));
        let Some(at) = pair else {
            return false;
        };
        match self.rewrite(at, thin) {
            Ok(is_smaller) => {
                if is_smaller {
                    let message =
                        "what waits on disk takes more than `max_size`; its sweeps are thinned";
                    self.warnings
                        .warn(message, &self.folder.display().to_string());
                }
                is_smaller
            }
            Err(error) => {
                let message = "what waits on disk cannot be thinned";
                self.warnings.warn(message, &error.to_string());
                false
            }
        }
    }

    fn rewrite(&mut self, at: usize, thin: Thin) -> io::Result<bool> {
        let (older, newer) = (&self.segments[at], &self.segments[at + 1]);
        let header = Header {
            thinned: older.header.thinned.max(newer.header.thinned) + 1,
            ..older.header
        };
        let path = older.path.with_extension(NEW);
        let mut writer = SegmentWriter::create_at(path.clone(), header)?;
        let copied = [older, newer]
            .into_iter()
            .try_for_each(|it| self.copy_thinned(it, &mut writer, thin, header.thinned));
        let synced = copied.and_then(|()| match self.settings.fsync {
            Fsync::Never => Ok(()),
            _ => writer.sync(),
        });
        let before = older.len + newer.len;
        // A twentieth less is not worth the work, nor the resolution.
        let is_smaller = synced.is_ok() && writer.len() < before / 20 * 19;
        if !is_smaller {
            std::fs::remove_file(&path)?;
            return synced.map(|()| false);
        }
        let is_damaged = newer.is_damaged || older.is_damaged;
        std::fs::rename(&path, &older.path)?;
        self.reader = None;
        if let Some(newer) = self.segments.remove(at + 1) {
            self.segments[at].last_time = newer.last_time;
            self.remove(&newer);
        }
        let segment = &mut self.segments[at];
        (segment.header, segment.len) = (header, writer.len());
        segment.is_damaged = is_damaged;
        Ok(true)
    }

    /// What is left of a segment's requests that are still to be sent.
    fn copy_thinned(
        &self,
        segment: &Segment,
        writer: &mut SegmentWriter,
        thin: Thin,
        times: u32,
    ) -> io::Result<()> {
        let opened = SegmentReader::open(&segment.path)?;
        let mut reader = opened.map_err(|error| io::Error::other(error.to_string()))?;
        let (mut places, mut requests, mut points) = (Vec::new(), Vec::new(), 0);
        loop {
            let item = reader.next(segment.len, |_| true)?;
            let is_end = matches!(item, Item::End { .. });
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
                return Ok(());
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
