//! What waits behind what is in memory, in order.

use std::collections::VecDeque;

use pipeline::{LogPosition, LogRange, points};

use crate::processor::Request;

/// What waits, and where.
pub(super) enum Waiting {
    /// On disk only.
    OnDisk(LogRange),
    /// In memory only, since the disk did not take it.
    InMemory(Request),
}

/// Requests that wait, in order.
#[derive(Default)]
pub(super) struct Behind {
    all: VecDeque<Waiting>,
    /// How many points are in memory.
    points_in_memory: u64,
}

impl Behind {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn points_in_memory(&self) -> u64 {
        self.points_in_memory
    }

    /// A range that follows all others.
    pub(super) fn push_range(&mut self, range: LogRange) {
        match self.all.back_mut() {
            Some(Waiting::OnDisk(last)) if last.end == range.start => last.end = range.end,
            _ if range.start < range.end => self.all.push_back(Waiting::OnDisk(range)),
            _ => {}
        }
    }

    pub(super) fn push_request(&mut self, request: Request) {
        self.points_in_memory += points(&request);
        self.all.push_back(Waiting::InMemory(request));
    }

    /// What is first on disk, if it is the first of all.
    pub(super) fn first_range(&self) -> Option<&LogRange> {
        match self.all.front() {
            Some(Waiting::OnDisk(range)) => Some(range),
            _ => None,
        }
    }

    /// The first one, if it is in memory.
    pub(super) fn pop_request(&mut self) -> Option<Request> {
        if !matches!(self.all.front(), Some(Waiting::InMemory(_))) {
            return None;
        }
        let Some(Waiting::InMemory(request)) = self.all.pop_front() else {
            return None;
        };
        self.points_in_memory -= points(&request);
        Some(request)
    }

    /// What of the first range is before this no longer waits.
    pub(super) fn advance(&mut self, to: LogPosition) {
        if let Some(Waiting::OnDisk(range)) = self.all.front_mut() {
            range.start = range.start.max(to);
            if range.start >= range.end {
                self.all.pop_front();
            }
        }
    }

    /// What is before this on disk no longer waits: how many points that were.
    pub(super) fn cut(&mut self, before: LogPosition) -> u64 {
        let mut lost = 0;
        for waiting in &mut self.all {
            if let Waiting::OnDisk(range) = waiting {
                let end = before.clamp(range.start, range.end);
                lost += end.points.saturating_sub(range.start.points);
                range.start = end;
            }
        }
        self.all
            .retain(|it| !matches!(it, Waiting::OnDisk(range) if range.start >= range.end));
        lost
    }
}
