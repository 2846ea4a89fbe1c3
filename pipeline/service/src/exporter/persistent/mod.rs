//! A queue on disk, before the one in memory.
//!
//! ```text
//!           ┌── log ──┐
//! channel ──┴─────────┴──▶ queue in memory ──▶ …
//! ```
//!
//! Each request is appended to a log, and counts as queued once it is there. It goes on from memory while what follows has
//! room for it; what has none waits on disk alone, and is read again. Its batches have a [`Receipt`]: when the last of them is
//! gone, be it sent or dropped, the log no longer keeps it. What the disk does not take is kept in memory, up to a bound.
//!
//! At the end it sends on as long as the far side takes something, or something is in memory alone.

mod behind;
mod ending;
mod full;
mod ranges;
mod replay;
mod slow_timer;
#[cfg(test)]
mod tests;
mod under_way;
mod unstored;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use pipeline::{LogEvent, LogPosition, LogRange, Receipt, Replay, RequestLog, Shutdown, points};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::Instant;

use super::accounting::Accounting;
use super::queue::{self, GiveWay};
use crate::config::Overflow;
use crate::processor::Request;

use behind::Behind;
use ranges::Ranges;
use slow_timer::SlowTimer;
use under_way::{Marking, UnderWay};

pub(crate) use under_way::Mark;

/// So many requests wait in memory for room in what follows: more than come while the disk is forced to take what it has.
const MAX_READY: usize = 128;
/// So many points they have; the last one may have more.
const MAX_READY_POINTS: u64 = 1 << 19;
/// A disk that takes longer for a request holds it up no longer.
const SLOW: Duration = Duration::from_secs(1);
/// So many points are kept in memory for want of a disk: 16 bytes each, and as much for their times.
const MAX_POINTS_IN_MEMORY: u64 = 1 << 20;

/// An exporter's queue on disk: a task of its own, which ends with what follows it.
pub(crate) struct PersistentQueue {
    log: Box<dyn RequestLog>,
    accounting: Accounting,
    /// To the queue in memory, until nothing more comes.
    to: Option<mpsc::Sender<Request>>,
    /// Tells what follows, and is told, that nothing more is sent.
    give_up: watch::Sender<bool>,
    /// Whether what is on disk may be left there at the end before the time for draining is over.
    ends_early: bool,
    /// What is done where the log has more than it may, or the disk takes nothing for long.
    overflow: Overflow,
    is_full: bool,
    /// What the log was given, and has not dealt with yet.
    writing: VecDeque<(LogRange, Request, Instant)>,
    /// What goes on next.
    ready: VecDeque<Ready>,
    behind: Behind,
    /// The requests that have gone on and are in memory alone, by their places.
    unstored: BTreeMap<LogPosition, Weak<Receipt>>,
    /// What is still to be sent.
    pending: Ranges,
    /// What of that is or was under way: the far side may have it.
    tried: Ranges,
    /// Whether the log is to be told that, and what waits until it has written it down.
    marking: Marking,
    hear_under_way: UnboundedReceiver<UnderWay>,
    slow_timer: SlowTimer,
    is_reading: bool,
    /// Where the requests that were on disk only, and are under way, were read, and how many may be.
    replayed: Vec<LogPosition>,
    window: usize,
    /// The number of the first request that the log still has.
    first: Arc<AtomicU64>,
    done: UnboundedSender<LogRange>,
    hear_done: UnboundedReceiver<LogRange>,
}

struct Ready {
    request: Request,
    /// Where it was read from, if it was on disk only.
    replayed: Option<LogPosition>,
}

impl PersistentQueue {
    /// A queue before `to`. What the log has from before counts as handed over now. With `once` the end waits as long as it may
    /// for a far side that takes nothing.
    pub(crate) fn new(
        log: Box<dyn RequestLog>,
        accounting: Accounting,
        to: mpsc::Sender<Request>,
        give_up: watch::Sender<bool>,
        hear_under_way: UnboundedReceiver<UnderWay>,
        overflow: Overflow,
        once: bool,
    ) -> PersistentQueue {
        let (done, hear_done) = mpsc::unbounded_channel();
        let mut queue = PersistentQueue {
            accounting,
            to: Some(to),
            give_up,
            ends_early: !once,
            overflow,
            is_full: false,
            writing: VecDeque::new(),
            ready: VecDeque::new(),
            behind: Behind::default(),
            unstored: BTreeMap::new(),
            pending: Ranges::default(),
            tried: Ranges::default(),
            marking: Marking::default(),
            hear_under_way,
            slow_timer: SlowTimer::default(),
            is_reading: false,
            replayed: Vec::new(),
            window: 1,
            first: Arc::default(),
            done,
            hear_done,
            log,
        };
        for range in queue.log.found() {
            let points = range.end.points.saturating_sub(range.start.points);
            queue.accounting.handed(points);
            queue.pending.insert(&range);
            queue.behind.push_range(range);
        }
        for range in queue.log.tried() {
            queue.tried.insert(&range);
        }
        queue.accounting.sent_again(queue.tried.points());
        queue
    }

    /// Runs until the channel closes and all is sent, the time for draining is over, or nobody takes anything any more. Once
    /// the channel has closed it is over too where the far side takes nothing and all that waits is on disk.
    pub(crate) async fn run(mut self, mut from: mpsc::Receiver<Request>) {
        let mut is_open = true;
        loop {
            self.fill_ready();
            self.write_pending();
            let is_idle = self.writing.is_empty() && self.ready.is_empty();
            if !is_open && is_idle && self.behind.is_empty() {
                break;
            }
            let slow_at = self.slow_at();
            let to = self.to.clone();
            let give_up = self.hear_give_up();
            let may_end = self.ends_early && !is_open && self.is_all_stored();
            tokio::select! {
                biased;
                () = give_up.wait() => return self.give_up(from).await,
                () = self.accounting.fails(), if may_end => {
                    self.accounting.left_on_disk();
                    return self.give_up(from).await;
                }
                event = self.log.event() => self.note(event),
                Some(range) = self.hear_done.recv() => self.done(&range),
                Some(request) = self.hear_under_way.recv() => self.under_way(request),
                permit = reserve(to.as_ref()), if self.may_forward() => match permit {
                    Some(permit) => self.forward(permit),
                    None => return self.close(),
                },
                request = from.recv(), if is_open && !self.holds_up() => match request {
                    Some(request) => self.take(request),
                    None => is_open = false,
                },
                () = self.slow_timer.wait_until(slow_at) => self.is_slow(),
            }
        }
        self.wait_until_sent().await;
    }

    /// Takes in a request.
    fn take(&mut self, mut request: Request) {
        request.retain(|batch| batch.points() > 0);
        if request.is_empty() || self.refuses(&request) {
            return;
        }
        let at = self.log.append(&request);
        let range = at..at.after(points(&request));
        if self.pending.is_empty() {
            // It is sent as soon as it is written: that is told in one way.
            self.try_range(&range);
        }
        self.pending.insert(&range);
        self.writing.push_back((range, request, Instant::now()));
    }

    fn note(&mut self, event: LogEvent) {
        match event {
            LogEvent::Appended { at, is_stored } => {
                // One that it took too long for is no longer waited for.
                let first = self.writing.front();
                if first.is_some_and(|(range, ..)| range.start == at)
                    && let Some((range, request, _)) = self.writing.pop_front()
                {
                    self.enqueue(range, request, is_stored);
                } else {
                    self.late(at, is_stored);
                }
            }
            LogEvent::Read {
                requests,
                next,
                thinned,
            } => self.read(requests, next, thinned),
            LogEvent::Kept => self.marking.written(),
            LogEvent::Full(is_full) => self.full(is_full),
            LogEvent::Cut { before, is_old } => self.cut(before, is_old),
            _ => {}
        }
    }

    /// A request counts as queued now.
    fn enqueue(&mut self, range: LogRange, request: Request, is_stored: bool) {
        self.accounting.handed(points(&request));
        if !is_stored {
            self.forget(&range);
            return self.wait_in_memory(request, range);
        }
        let goes_first = self.behind.is_empty() || self.log.replay() == Replay::Newest;
        if goes_first && self.has_room_in_memory() {
            let (request, replayed) = (self.with_receipt(request, range, true), None);
            self.ready.push_back(Ready { request, replayed });
        } else {
            self.behind.push_range(range);
        }
    }

    fn has_room_in_memory(&self) -> bool {
        let waiting: u64 = self.ready.iter().map(|it| points(&it.request)).sum();
        self.ready.len() < MAX_READY && waiting < MAX_READY_POINTS
    }

    fn with_receipt(&self, request: Request, range: LogRange, is_stored: bool) -> Request {
        let (done, first) = (self.done.clone(), Arc::clone(&self.first));
        let receipt = Arc::new(Receipt::new(range, done, first, is_stored));
        let batches = request.into_iter();
        batches
            .map(|it| it.with_receipt(Arc::clone(&receipt)))
            .collect()
    }

    fn hear_give_up(&self) -> Shutdown {
        Shutdown::new(self.give_up.subscribe())
    }

    /// The log need not keep this any longer.
    fn forget(&mut self, range: &LogRange) {
        self.pending.remove(range);
        self.tried.remove(range);
        self.marking.changes();
    }

    fn write_pending(&mut self) {
        if let Some(is_told) = self.marking.begins() {
            let (pending, tried) = (self.pending.ranges(), self.tried.ranges());
            self.log.keep(pending, tried, is_told);
        }
    }
}

/// Room in what follows; `None` when it has ended.
async fn reserve(to: Option<&mpsc::Sender<Request>>) -> Option<mpsc::OwnedPermit<Request>> {
    to?.clone().reserve_owned().await.ok()
}

/// The log keeps what it has of this request, whatever becomes of it here: how many points that are.
pub(super) fn keep(request: &Request) -> u64 {
    let kept = request.iter().filter_map(|batch| {
        let is_there = batch.receipt()?.keep();
        is_there.then_some(batch.points() as u64)
    });
    kept.sum()
}

/// What the log thins requests by: each has a place there, and may be in memory too.
pub(crate) fn thin(requests: &mut [Request], shift: u32) {
    queue::thin(requests.iter_mut(), shift, GiveWay::InPlace);
}
