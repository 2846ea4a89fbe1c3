//! What waits behind what is in memory, in order.

use std::collections::VecDeque;

use pipeline::{LogPosition, LogRange, points};

use super::super::queue::{GiveWay, thin};
use crate::processor::Request;

/// What waits is made no coarser than one sweep of 2^`MAX_SHIFT`.
const MAX_SHIFT: u32 = 20;

/// What waits, and where.
pub(super) enum Waiting {
    /// On disk only.
    OnDisk(LogRange),
    /// In memory only, since the disk did not take it.
    InMemory(Request),
}

impl Waiting {
    fn request(&mut self) -> Option<&mut Request> {
        match self {
            Waiting::OnDisk(_) => None,
            Waiting::InMemory(request) => Some(request),
        }
    }
}

/// Requests that wait, in order.
#[derive(Default)]
pub(super) struct Behind {
    all: VecDeque<Waiting>,
    /// How many points are in memory.
    points_in_memory: u64,
    /// How coarse these are: one sweep of 2^`shift` is left, once there were too many.
    shift: u32,
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

    /// Thins the sweeps that are in memory, until there are three quarters of so many points at the most, or they can become
    /// no coarser. How many points gave way.
    pub(super) fn thin(&mut self, max: u64) -> u64 {
        let before = self.points_in_memory;
        while self.points_in_memory > max / 4 * 3 && self.shift < MAX_SHIFT {
            self.shift += 1;
            // What is on disk in between is not seen, and may have a reset.
            let is_on_disk = |it: &Waiting| matches!(it, Waiting::OnDisk(_));
            let runs = self.all.make_contiguous().split_mut(is_on_disk);
            self.points_in_memory = 0;
            for run in runs {
                thin(
                    run.iter_mut().filter_map(Waiting::request),
                    self.shift,
                    GiveWay::InPlace,
                );
                let left = run.iter_mut().filter_map(Waiting::request);
                self.points_in_memory += left.map(|it| points(it)).sum::<u64>();
            }
        }
        let is_empty = |it: &Waiting| matches!(it, Waiting::InMemory(it) if it.is_empty());
        self.all.retain(|it| !is_empty(it));
        before - self.points_in_memory
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
        if self.points_in_memory == 0 {
            self.shift = 0;
        }
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
