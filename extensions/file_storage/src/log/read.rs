//! What waits is read again.

use pipeline::{Batch, LogPosition, LogRange, points};

use super::Log;
use crate::segment::{Item, SegmentReader};

/// What was read of a log.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) requests: Vec<(LogPosition, Vec<Batch>)>,
    /// What is before was read, or cannot be.
    pub(crate) next: LogPosition,
    /// How many points of what cannot be read were thinned. Where the segment is damaged too, nobody knows: none.
    pub(crate) thinned: u64,
}

pub(super) const UNREADABLE: &str = "records of it cannot be read";

impl Log {
    /// Reads requests of this range from its start on, of so many points together, but one at least.
    pub(crate) fn read(&mut self, range: &LogRange, max_points: u64) -> Read {
        let (mut requests, mut next, mut points_read) = (Vec::new(), range.start, 0);
        let mut thinned = 0;
        while next < range.end && (requests.is_empty() || points_read < max_points) {
            let behind = self.segments.partition_point(|it| it.header.start <= next);
            let after = self
                .segments
                .get(behind)
                .map_or(range.end, |it| it.header.start);
            let Some(index) = behind.checked_sub(1) else {
                next = after;
                continue;
            };
            let read = self.read_segment(index, next, range.end);
            // What is missing up to there cannot be read.
            let found = read.as_ref().map_or(after.min(range.end), |(at, _)| *at);
            let segment = &self.segments[index];
            if segment.header.thinned > 0 && !segment.is_damaged {
                thinned += found.points.saturating_sub(next.points);
            }
            next = found;
            if let Some((at, request)) = read {
                next = at.after(points(&request));
                points_read += points(&request);
                requests.push((at, request));
            }
        }
        Read {
            requests,
            next: next.min(range.end),
            thinned,
        }
    }

    /// The next request of a segment from one position to another one.
    fn read_segment(
        &mut self,
        index: usize,
        from: LogPosition,
        to: LogPosition,
    ) -> Option<(LogPosition, Vec<Batch>)> {
        let segment = &mut self.segments[index];
        let mut reader = match self.reader.take() {
            Some(it) if it.header() == segment.header && it.position() <= from => it,
            _ => match SegmentReader::open(&segment.path) {
                Ok(Ok(reader)) => reader,
                error => {
                    let error = match error {
                        Ok(error) => error.err().map(|it| it.to_string()).unwrap_or_default(),
                        Err(error) => error.to_string(),
                    };
                    segment.damaged(&self.warnings, &error);
                    return None;
                }
            },
        };
        loop {
            match reader.next(segment.len, |at| from <= at && at < to) {
                Ok(Item::Request {
                    at,
                    request: Some(request),
                    ..
                }) => {
                    if reader.is_damaged() {
                        segment.damaged(&self.warnings, UNREADABLE);
                    }
                    self.reader = Some(reader);
                    return Some((at, request));
                }
                Ok(Item::Request { at, .. }) if at < from => {}
                // It has gone past what is asked for, and is no use for that.
                Ok(Item::Request { .. }) => return None,
                Ok(Item::End { torn }) => {
                    if torn.is_some() || reader.is_damaged() {
                        segment.damaged(&self.warnings, UNREADABLE);
                    } else if self.writer.is_some() && index + 1 == self.segments.len() {
                        self.reader = Some(reader);
                    }
                    return None;
                }
                Err(error) => {
                    segment.damaged(&self.warnings, &error.to_string());
                    return None;
                }
            }
        }
    }
}
