//! A queue in memory: what is in it when the program is killed is lost.

mod overflow;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pipeline::{Batch, Series, points};

use super::{Joining, Lanes, OtlpSizes, Turn, Used, coalesce};
use crate::config::{SendingQueue, Sizer};
use crate::processor::Request;

/// What a batch takes beside its values: its place in a request, in the lanes and in memory.
const BATCH_BYTES: usize = 400;

/// Requests that wait or are under way, up to a size. In which order they may go: [`Lanes`]; what gives way where there is
/// no room: [`coalesce`], which the queue on disk shares.
pub(in crate::exporter) struct MemoryQueue {
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
    pub(in crate::exporter) fn new(config: &SendingQueue) -> MemoryQueue {
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

    /// Whether no request waits or is under way.
    pub(in crate::exporter) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Takes a request if there is room for it, else gives it back. One that is larger than the queue takes all of it.
    pub(in crate::exporter) fn try_push(&mut self, request: Request) -> Result<(), Request> {
        let waiting = self.waiting(request);
        if !self.has_room(waiting.used) {
            return Err(waiting.request);
        }
        self.insert(waiting);
        Ok(())
    }

    /// The next request that may be under way, with those that wait and may go with it: together of at most so many bytes
    /// as OTLP; with 0 each goes by itself.
    pub(in crate::exporter) fn next(&mut self, max_bytes: usize) -> Option<(Turn, Request)> {
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
    pub(in crate::exporter) fn done(&mut self, turn: Turn) {
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
    pub(in crate::exporter) fn size(&self) -> usize {
        self.limit.size
    }

    /// How much of that is used, what is under way included.
    pub(in crate::exporter) fn used(&self) -> usize {
        self.used.size
    }

    /// What it takes in memory.
    pub(in crate::exporter) fn bytes(&self) -> usize {
        self.used.bytes
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
