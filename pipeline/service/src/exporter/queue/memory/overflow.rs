//! What gives way where a queue in memory has no room, or memory is short.

use pipeline::points;

use super::super::{GiveWay, Thinned, Used, coalesce};
use super::MemoryQueue;
use crate::processor::Request;

/// What those that may not give way take at the most: beyond that the oldest are dropped.
const MAX_KEPT_BYTES: usize = 16 << 20;

impl MemoryQueue {
    /// Whether at most half of it is used.
    pub(in crate::exporter) fn is_half_empty(&self) -> bool {
        self.used.fits(self.limit.part(1, 2))
    }

    /// It may take no more than three quarters of the memory that it takes, until it is empty again.
    pub(in crate::exporter) fn shrink(&mut self) {
        self.limit.bytes = self.used.part(3, 4).bytes.max(1);
        self.thin_at = self.limit;
    }

    /// Takes a request; without room for it [`thin`](MemoryQueue::thin) has to follow.
    pub(in crate::exporter) fn push(&mut self, request: Request) {
        let waiting = self.waiting(request);
        self.insert(waiting);
    }

    /// Makes room by thinning the sweeps that wait, if more is used than there is. The first and the last sweep of a table
    /// stay, whatever they take.
    pub(in crate::exporter) fn thin(&mut self) -> Thinned {
        let mut thinned = Thinned::default();
        if self.used.fits(self.thin_at) {
            return thinned;
        }
        let (enough, widest) = (self.limit.part(3, 4), self.widest());
        loop {
            let requests = self.waiting.values_mut().map(|it| &mut it.request);
            let now = coalesce::thin(requests, self.shift, GiveWay::Merging);
            thinned.points += now.points;
            thinned.interval = thinned.interval.max(now.interval);
            self.weigh_all();
            if self.used.fits(enough) || self.shift >= widest {
                break;
            }
            self.shift += 1;
        }
        thinned.lost = self.drop_kept();
        self.thin_at = self.limit;
        if !self.used.fits(self.limit) {
            self.thin_at.size = self.thin_at.size.max(self.used.part(9, 8).size);
            self.thin_at.bytes = self.thin_at.bytes.max(self.used.part(9, 8).bytes);
        }
        thinned
    }

    /// Takes a request in the place of those that wait longest; one that has no room even so goes itself. How many points
    /// were dropped.
    pub(in crate::exporter) fn push_dropping_oldest(&mut self, request: Request) -> u64 {
        let waiting = self.waiting(request);
        let mut dropped = self.drop_oldest_for(waiting.used);
        if self.has_room(waiting.used) {
            self.insert(waiting);
        } else {
            dropped += points(&waiting.request);
        }
        dropped
    }

    /// Drops those that wait longest, if more is used than there is. How many points that were.
    pub(in crate::exporter) fn drop_oldest(&mut self) -> u64 {
        self.drop_oldest_for(Used::default())
    }

    /// Makes room for so much by dropping those that wait longest. How many points that were.
    fn drop_oldest_for(&mut self, more: Used) -> u64 {
        let mut dropped = 0;
        while !self.has_room(more)
            && let Some((number, _)) = self.waiting.first_key_value()
        {
            let oldest = self.remove(*number);
            dropped += oldest.map_or(0, |it| points(&it.request));
        }
        dropped
    }

    /// Weighs what waits anew, and lets go what is empty.
    fn weigh_all(&mut self) {
        for (number, before) in std::mem::take(&mut self.waiting) {
            self.used.remove(before.used);
            if before.request.is_empty() {
                self.lanes.remove(number);
                continue;
            }
            let waiting = self.waiting(before.request);
            self.used.add(waiting.used);
            self.waiting.insert(number, waiting);
        }
    }

    /// The shift beyond which nothing more gives way.
    fn widest(&self) -> u32 {
        let requests = self.waiting.values().flat_map(|it| &it.request);
        let newest = requests.map(|it| it.sweep().number).max();
        u64::BITS
            .saturating_sub(newest.unwrap_or_default().leading_zeros())
            .min(u64::BITS - 1)
    }

    /// Drops the oldest of what may not give way, as long as there is more than may be: how many points.
    fn drop_kept(&mut self) -> u64 {
        let kept = self.waiting.iter().filter(|(_, it)| it.is_kept);
        let kept: Vec<(u64, usize)> = kept.map(|(number, it)| (*number, it.used.bytes)).collect();
        let mut bytes: usize = kept.iter().map(|(_, bytes)| bytes).sum();
        let mut lost = 0;
        for (number, of_it) in kept {
            if bytes <= MAX_KEPT_BYTES {
                break;
            }
            bytes -= of_it;
            lost += self.remove(number).map_or(0, |it| points(&it.request));
        }
        lost
    }
}
