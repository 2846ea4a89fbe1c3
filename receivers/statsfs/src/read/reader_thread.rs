//! A reader thread, as the pool sees it: where it was last seen, and since when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::work_queue::{NO_ROW, Progress};

pub(super) struct ReaderThread {
    pub(super) progress: Arc<Progress>,
    /// The job and row where it was last seen.
    pub(super) position: (u64, u32),
    /// Since when it has been at this row, and at this job.
    since: Instant,
    job_since: Instant,
    /// A replacement may read in its place.
    pub(super) stalled: bool,
    pub(super) given_up: bool,
    /// Others read the rest of its job.
    relieved: bool,
}

/// A job that takes long, and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongJob {
    pub(crate) number: u64,
    pub(crate) row: u32,
    /// Whether the row's file does not answer.
    pub(crate) is_stalled: bool,
}

impl ReaderThread {
    pub(super) fn new(progress: Arc<Progress>, now: Instant) -> ReaderThread {
        ReaderThread {
            progress,
            position: (0, 0),
            since: now,
            job_since: now,
            stalled: false,
            given_up: false,
            relieved: false,
        }
    }

    /// Looks where it is now. One that goes on is neither stalled nor given up.
    pub(super) fn update(&mut self, now: Instant) {
        let position = self.progress.position();
        if position.0 != self.position.0 {
            (self.job_since, self.relieved) = (now, false);
        }
        let has_begun = position.0 != 0 && position.1 != NO_ROW;
        if position != self.position || !has_begun {
            (self.position, self.since) = (position, now);
            (self.stalled, self.given_up) = (false, false);
        }
    }

    pub(super) fn is_reading(&self) -> bool {
        self.position.0 != 0 && self.position.1 != NO_ROW
    }

    /// Whether its job is one of files that are slow, or suspected to be.
    pub(super) fn is_at_slow_job(&self) -> bool {
        self.position.0 != 0 && self.progress.is_slow()
    }

    /// Whether it has been at the same row for this long.
    pub(super) fn waits_for(&self, time: Duration, now: Instant) -> bool {
        now - self.since >= time
    }

    /// Its job, if others could read the rest: it has been at the same row for this long, or, where others are idle, at the job.
    pub(super) fn long_job(&self, time: Duration, now: Instant, has_idle: bool) -> Option<LongJob> {
        let is_stalled = self.waits_for(time, now);
        let is_long = has_idle && !self.is_at_slow_job() && now - self.job_since >= time;
        let is_shareable = self.is_reading() && !self.relieved && (is_stalled || is_long);
        let (number, row) = self.position;
        is_shareable.then_some(LongJob {
            number,
            row,
            is_stalled,
        })
    }

    /// Others read the rest of its job.
    pub(super) fn relieve(&mut self) {
        self.relieved = true;
        self.progress.relieve(self.position.0);
    }
}
