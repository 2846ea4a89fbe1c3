//! A queue in memory: what is in it when the program is killed is lost.

use std::collections::BTreeMap;

use pipeline::{Batch, Series, points};

use super::{Joining, Lanes, OtlpSizes, Thinned, Turn, Used, coalesce};
use crate::config::{SendingQueue, Sizer};
use crate::processor::Request;

/// What a batch takes beside its values: its place in a request, in the lanes and in memory.
const BATCH_BYTES: usize = 400;
/// What those that may not give way take at the most: beyond that the oldest are dropped.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// Requests that wait or are under way, up to a size. In which order they may go: [`Lanes`]; what gives way where there is
/// no room: [`coalesce`], which the queue on disk shares.
pub(in super::super) struct MemoryQueue {
    limit: Used,
    /// What it may take in memory, unless memory is short.
    max_bytes: usize,
    sizer: Sizer,
    lanes: Lanes,
    /// By their numbers.
    waiting: BTreeMap<u64, Waiting>,
    /// What all take, those under way included.
    used: Used,
    sizes: OtlpSizes,
    /// How coarse the sweeps that wait are: one of 2^`shift` is left.
    shift: u32,
    /// It is thinned when it is fuller than this: its limit, or more where thinning did not bring it below.
    thin_at: Used,
}

struct Waiting {
    request: Request,
    used: Used,
    /// Whether it only has what may not give way.
    is_kept: bool,
}

impl MemoryQueue {
    /// An empty queue. One that is not enabled has room for one request.
    pub(in super::super) fn new(config: &SendingQueue) -> MemoryQueue {
        let (size, bytes, sizer) = if config.enabled {
            (config.size(), config.max_bytes(), config.sizer)
        } else {
            (1, usize::MAX, Sizer::Requests)
        };
        let limit = Used { size, bytes };
        MemoryQueue {
            limit,
            max_bytes: bytes,
            sizer,
            lanes: Lanes::default(),
            waiting: BTreeMap::new(),
            used: Used::default(),
            sizes: OtlpSizes::default(),
            shift: 1,
            thin_at: limit,
        }
    }

    /// What a request takes: all of the queue, if it is larger.
    fn weigh(&mut self, request: &Request) -> Used {
        let size = match self.sizer {
            Sizer::Requests => 1,
            Sizer::Items => usize::try_from(points(request)).unwrap_or(usize::MAX),
            Sizer::Bytes => self.sizes.of(request),
        };
        let bytes = request.iter().map(bytes).sum();
        Used {
            size: size.min(self.limit.size),
            bytes: self.limit.bytes.min(bytes),
        }
    }

    fn waiting(&mut self, request: Request) -> Waiting {
        let mut used = self.weigh(&request);
        let is_kept = request.iter().all(coalesce::is_kept);
        if is_kept && self.sizer == Sizer::Requests {
            // A few points of a request that was: they are bounded by their bytes.
            used.size = 0;
        }
        Waiting {
            request,
            used,
            is_kept,
        }
    }

    fn has_room(&self, mut more: Used) -> bool {
        more.add(self.used);
        more.fits(self.limit)
    }

    fn insert(&mut self, waiting: Waiting) {
        let batches = waiting.request.iter();
        let number = self
            .lanes
            .push(batches.map(|it| &it.table().head().subsystem));
        self.used.add(waiting.used);
        self.waiting.insert(number, waiting);
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

    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        self.used.remove(waiting.used);
        self.lanes.remove(number);
        Some(waiting)
    }

    /// Joins what waits and may go with this request.
    fn join(&mut self, turn: &mut Turn, request: &mut Request, max_bytes: usize) {
        let mut joining = Joining::default();
        turn.numbers
            .iter()
            .for_each(|it| self.lanes.join(&mut joining, *it));
        let mut bytes = self.sizes.of(request);
        while let Some(number) = self.lanes.next_joinable(&joining)
            && let Some(next) = self.waiting.get(&number)
        {
            bytes = bytes.saturating_add(self.sizes.of(&next.request));
            if bytes > max_bytes {
                break;
            }
            self.lanes.join(&mut joining, number);
            if let Some(next) = self.waiting.remove(&number) {
                turn.numbers.push(number);
                turn.used.add(next.used);
                request.extend(next.request);
            }
        }
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

impl MemoryQueue {
    /// Whether no request waits or is under way.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Whether at most half of it is used.
    pub(in super::super) fn is_half_empty(&self) -> bool {
        self.used.fits(self.limit.part(1, 2))
    }

    /// Takes a request if there is room for it, else gives it back. One that is larger than the queue takes all of it.
    pub(in super::super) fn try_push(&mut self, request: Request) -> Result<(), Request> {
        let waiting = self.waiting(request);
        if !self.has_room(waiting.used) {
            return Err(waiting.request);
        }
        self.insert(waiting);
        Ok(())
    }

    /// Takes a request; without room for it [`thin`](MemoryQueue::thin) has to follow.
    pub(in super::super) fn push(&mut self, request: Request) {
        let waiting = self.waiting(request);
        self.insert(waiting);
    }

    /// Takes a request in the place of those that wait longest; one that has no room even so goes itself. How many points
    /// were dropped.
    pub(in super::super) fn push_dropping_oldest(&mut self, request: Request) -> u64 {
        let waiting = self.waiting(request);
        let mut dropped = self.drop_oldest_for(waiting.used);
        if self.has_room(waiting.used) {
            self.insert(waiting);
        } else {
            dropped += points(&waiting.request);
        }
        dropped
    }

    /// The next request that may be under way, with those that wait and may go with it: together of at most so many bytes
    /// as OTLP; with 0 each goes by itself.
    pub(in super::super) fn next(&mut self, max_bytes: usize) -> Option<(Turn, Request)> {
        let number = self.lanes.next()?;
        let Waiting {
            mut request, used, ..
        } = self.waiting.remove(&number)?;
        let numbers = vec![number];
        let mut turn = Turn { numbers, used };
        if max_bytes > 0 && !self.waiting.is_empty() {
            self.join(&mut turn, &mut request, max_bytes);
        }
        Some((turn, request))
    }

    /// A request is done with: it leaves the queue.
    pub(in super::super) fn done(&mut self, turn: Turn) {
        self.used.remove(turn.used);
        for number in turn.numbers {
            self.lanes.remove(number);
        }
        if self.lanes.is_empty() {
            self.limit.bytes = self.max_bytes;
            (self.shift, self.thin_at) = (1, self.limit);
        }
    }

    /// How much it holds, in what its sizer counts.
    pub(in super::super) fn size(&self) -> usize {
        self.limit.size
    }

    /// How much of that is used, what is under way included.
    pub(in super::super) fn used(&self) -> usize {
        self.used.size
    }

    /// What it takes in memory.
    pub(in super::super) fn bytes(&self) -> usize {
        self.used.bytes
    }

    /// It may take no more than three quarters of the memory that it takes, until it is empty again.
    pub(in super::super) fn shrink(&mut self) {
        self.limit.bytes = self.used.part(3, 4).bytes.max(1);
        self.thin_at = self.limit;
    }

    /// Makes room by thinning the sweeps that wait, if more is used than there is. The first and the last sweep of a table
    /// stay, whatever they take.
    pub(in super::super) fn thin(&mut self) -> Thinned {
        let mut thinned = Thinned::default();
        if self.used.fits(self.thin_at) {
            return thinned;
        }
        let (enough, widest) = (self.limit.part(3, 4), self.widest());
        loop {
            let requests = self.waiting.values_mut().map(|it| &mut it.request);
            let now = coalesce::thin(requests, self.shift);
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

    /// Drops those that wait longest, if more is used than there is. How many points that were.
    pub(in super::super) fn drop_oldest(&mut self) -> u64 {
        self.drop_oldest_for(Used::default())
    }
}

/// What a batch takes in memory.
fn bytes(batch: &Batch) -> usize {
    let table = if coalesce::is_kept(batch) {
        // Nobody else has it.
        batch.table().len() * size_of::<Series>()
    } else {
        0
    };
    BATCH_BYTES + batch.value_bytes() + table
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap, VecDeque};
    use std::sync::Arc;

    use pipeline::Batch;
    use pipeline::formats::text;

    use super::*;

    fn queue(yaml: &str) -> MemoryQueue {
        MemoryQueue::new(&serde_yaml::from_str(yaml).expect("a queue"))
    }

    /// A request of a point in each of these subsystems.
    fn request(subsystems: &[usize]) -> Request {
        let lines: Vec<_> = subsystems.iter().map(|it| format!("s{it}/c 1")).collect();
        text::parse(&lines.join("\n")).expect("a table each")
    }

    fn names(request: &[Batch]) -> Vec<Arc<str>> {
        let name = |batch: &Batch| Arc::clone(&batch.table().head().subsystem);
        let names: BTreeSet<Arc<str>> = request.iter().map(name).collect();
        names.into_iter().collect()
    }

    #[test]
    fn it_has_room_for_so_many_requests_or_points_those_under_way_included() {
        let mut by_requests = queue("{queue_size: 2}");
        by_requests.push(request(&[1, 2, 3]));
        by_requests.push(request(&[4]));
        let (turn, _) = by_requests.next(0).expect("the first");
        assert!(by_requests.try_push(request(&[5])).is_err());
        by_requests.done(turn);
        assert!(by_requests.try_push(request(&[5])).is_ok());

        let mut by_points = queue("{queue_size: 2, sizer: items}");
        by_points.push(request(&[1]));
        let larger = by_points.try_push(request(&[2, 3, 4]));
        let larger = larger.expect_err("not beside");
        let (turn, _) = by_points.next(0).expect("the first");
        by_points.done(turn);
        by_points.try_push(larger).expect("by itself");
        assert!(by_points.try_push(request(&[1])).is_err());
    }

    #[test]
    fn a_subsystem_is_under_way_once_at_a_time_and_in_order_and_all_come_out() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..200 {
            // Each by itself, or as many together as may go.
            let max_bytes = [0, 200, usize::MAX][round % 3];
            let mut queue = queue("{queue_size: 1000}");
            let (mut under_way, mut next_value) = (Vec::new(), 0_u64);
            // What each subsystem was offered and is not given yet, by the time stamp of its batch.
            let mut offered: HashMap<Arc<str>, VecDeque<u64>> = HashMap::new();
            let mut left = 60;
            while left > 0 || !queue.is_empty() {
                if left > 0 && random.bool() {
                    left -= 1;
                    let subsystems: Vec<usize> = (0..5).filter(|_| random.u8(0..3) == 0).collect();
                    let mut one = request(&subsystems);
                    for batch in &mut one {
                        next_value += 1;
                        let (table, starts) = (batch.table(), batch.starts_unix_nano());
                        *batch = Batch::new(
                            Arc::clone(table),
                            Arc::clone(starts),
                            pipeline::Times::One(next_value),
                            batch.values().to_vec(),
                            batch.sweep(),
                        );
                        let name = Arc::clone(&batch.table().head().subsystem);
                        offered.entry(name).or_default().push_back(next_value);
                    }
                    queue.push(one);
                } else if random.bool()
                    && let Some((turn, request)) = queue.next(max_bytes)
                {
                    for batch in &request {
                        let name = &batch.table().head().subsystem;
                        let first = offered.get_mut(name).and_then(VecDeque::pop_front);
                        assert_eq!(first, Some(batch.time_unix_nano(0)), "{name} in order");
                    }
                    under_way.push((turn, names(&request)));
                    let mut at_once: Vec<_> = under_way.iter().flat_map(|it| &it.1).collect();
                    let all = at_once.len();
                    at_once.sort_unstable();
                    at_once.dedup();
                    assert_eq!(at_once.len(), all, "once at a time");
                } else if !under_way.is_empty() {
                    let (turn, _) = under_way.swap_remove(random.usize(..under_way.len()));
                    queue.done(turn);
                }
            }
            assert!(offered.values().all(VecDeque::is_empty));
            assert!(queue.waiting.is_empty() && queue.lanes.is_empty());
            assert_eq!(queue.used, Used::default());
        }
    }
}
