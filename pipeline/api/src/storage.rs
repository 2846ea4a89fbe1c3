//! Where exporters keep what they have not sent yet, so that it outlives the program: what a storage extension gives, and
//! who asks for it.

use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;

use crate::data::Batch;
use crate::error::Result;

/// Keeps a log of requests for each exporter that names the extension in `sending_queue.storage`.
pub trait Storage: Send + Sync + 'static {
    /// Opens the log of this exporter, once, after the extension has [started](crate::Extension::start).
    ///
    /// # Errors
    /// Why what is there cannot be gone on with: it ends the program.
    fn open(&self, exporter: &str, when_full: WhenFull) -> Result<Box<dyn RequestLog>>;

    /// Where the logs are.
    fn directory(&self) -> &Path;

    /// The ids of the exporters that have a log there, sorted.
    ///
    /// # Errors
    /// Why there is nothing to be looked at.
    fn exporters(&self) -> Result<Vec<String>>;

    /// Looks at an exporter's log without changing anything: `visit` gets each request that is still to be sent. May be
    /// called without a start, beside a program that runs.
    fn inspect(&self, exporter: &str, visit: &mut dyn FnMut(&[Batch])) -> StoredLog;
}

/// What a log does that has more than it may.
#[derive(Clone, Copy, Debug)]
pub enum WhenFull {
    /// What waits is thinned; where that gives no room the oldest requests are dropped.
    Thin(Thin),
    /// The oldest requests are dropped.
    DropOldest,
    /// Nothing gives way: [`LogEvent::Full`] tells who appends.
    Keep,
}

/// Thins requests that are in order: of 2^n sweeps in a row one is left, and what it does not hold of the others. What is
/// left of a request may be empty. None gets a point that it did not have: it has a place in a log.
pub type Thin = fn(&mut [Vec<Batch>], u32);

/// How many requests and points came before a request, since its log began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// The number of the request, from 0.
    pub requests: u64,
    /// The points of all requests before it.
    pub points: u64,
}

impl LogPosition {
    /// Where the request behind one of so many points stands.
    #[must_use]
    pub fn after(self, points: u64) -> LogPosition {
        LogPosition {
            requests: self.requests.saturating_add(1),
            points: self.points.saturating_add(points),
        }
    }
}

/// The requests from one position to another one.
pub type LogRange = Range<LogPosition>;

/// A log of requests, worked on by a thread of its own: nothing here waits for a disk. What it is asked for begins once the
/// next [event](RequestLog::event) is waited for. Dropped, it writes what it was given, and closes.
#[async_trait]
pub trait RequestLog: Send + 'static {
    /// What was there when it was opened, and is still to be sent, in order; empty ranges are none.
    fn found(&self) -> Vec<LogRange>;

    /// What of that was under way when the log was last used: it may have arrived.
    fn tried(&self) -> Vec<LogRange>;

    /// Where the next request stands.
    fn end(&self) -> LogPosition;

    /// In which order what waits is sent.
    fn replay(&self) -> Replay;

    /// Takes a request, at the log's end. [`LogEvent::Appended`] says what became of it.
    fn append(&mut self, request: &[Batch]) -> LogPosition;

    /// Asks for requests of this range from its start on, of so many points together, but one at least.
    /// [`LogEvent::Read`] is the answer.
    fn read(&mut self, range: LogRange, points: u64);

    /// Says what is still to be sent, in order, and what of that may have arrived; all else is done with. With `is_told`
    /// there is a [`LogEvent::Kept`] for it.
    fn keep(&mut self, ranges: Vec<LogRange>, tried: Vec<LogRange>, is_told: bool);

    /// What comes next. May be cancelled. Never comes where the log's thread has ended.
    async fn event(&mut self) -> LogEvent;
}

/// In which order what waits on disk is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// The oldest first: what is new waits behind it, so that a series stays in order.
    #[default]
    Oldest,
    /// What is new first, and what waits after it: out of order.
    Newest,
}

/// What a log has done.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogEvent {
    /// A request was dealt with.
    Appended {
        /// Which one.
        at: LogPosition,
        /// Whether it will be found by who opens the log next; if not, it is in memory only.
        is_stored: bool,
    },
    /// What [`RequestLog::read`] asked for.
    Read {
        /// The requests that could be read, in order.
        requests: Vec<(LogPosition, Vec<Batch>)>,
        /// What is before this was read, or cannot be.
        next: LogPosition,
        /// How many of the points that cannot be read were thinned.
        thinned: u64,
    },
    /// With [`WhenFull::Keep`]: whether it has more than it may from now on. What is appended all the same is taken.
    Full(bool),
    /// What [`RequestLog::keep`] said is written down, if the disk took it: who opens the log after a sudden end finds it so.
    Kept,
    /// What was before this is no longer there: it was too much, or too old.
    Cut {
        /// The first request that is still there.
        before: LogPosition,
        /// It was too old, and not only too much.
        is_old: bool,
    },
}

/// What a log holds, as `queue` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredLog {
    /// The exporter's id.
    pub exporter: String,
    /// Requests that are still to be sent.
    pub requests: u64,
    /// Their points.
    pub points: u64,
    /// What its files take.
    pub bytes: u64,
    /// The times of the oldest and of the newest request, unix ns.
    pub times_unix_nano: Option<(u64, u64)>,
    /// What is wrong, and where.
    pub damage: Vec<String>,
}

impl StoredLog {
    /// An empty one of this exporter.
    #[must_use]
    pub fn new(exporter: impl Into<String>) -> StoredLog {
        StoredLog {
            exporter: exporter.into(),
            ..StoredLog::default()
        }
    }
}
