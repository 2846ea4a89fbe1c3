//! What a component sends through, and how a receiver learns of time and the end.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::data::{Batch, Series, Source, points};
use crate::telemetry::Counters;

/// Where a receiver sends. A full channel waits: the sweep that is due meanwhile is skipped and counted.
#[derive(Debug)]
pub struct Outlet {
    out: mpsc::Sender<Vec<Batch>>,
    counters: Counters,
    found: mpsc::UnboundedSender<Found>,
}

/// What a receiver found when it first looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// What it sweeps, in words.
    Sweeps(String),
    /// What it looked for and is not there, in words.
    Lacks(String),
}

/// The pipeline below has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Outlet {
    /// An outlet into this channel; what it finds is told to `found`.
    #[must_use]
    pub fn new(
        out: mpsc::Sender<Vec<Batch>>,
        counters: Counters,
        found: mpsc::UnboundedSender<Found>,
    ) -> Outlet {
        Outlet {
            out,
            counters,
            found,
        }
    }

    /// Sends one batch, which is counted as read.
    ///
    /// # Errors
    /// [`Closed`] when nobody takes batches any more: the receiver ends.
    pub async fn send(&mut self, batch: Batch) -> Result<(), Closed> {
        self.send_together(vec![batch]).await
    }

    /// Sends batches that were read together: they go on together, as one request, where nothing parts them.
    ///
    /// # Errors
    /// As for [`Outlet::send`].
    pub async fn send_together(&mut self, batches: Vec<Batch>) -> Result<(), Closed> {
        self.counters.add("points_read", "", points(&batches));
        self.out.send(batches).await.map_err(|unsent| {
            let left = points(&unsent.0);
            self.counters.add("points_dropped", "closed", left);
            Closed
        })
    }

    /// Says once, after the first look, what is swept or lacking: the line at the start tells all of it.
    pub fn found(&self, found: Found) {
        // Nobody listens after the start.
        let _ = self.found.send(found);
    }
}

/// Texts that a processor says at the most.
const MOST_SAID: usize = 10;

/// Where a processor puts what goes on, is dropped or to be said.
#[derive(Debug)]
pub struct Outbox {
    now_unix_nano: u64,
    passed: Vec<Batch>,
    sent: Vec<Vec<Batch>>,
    counters: Counters,
    said: HashSet<String>,
}

impl Outbox {
    /// An empty outbox of a component that counts here.
    #[must_use]
    pub fn new(counters: Counters) -> Outbox {
        Outbox {
            now_unix_nano: now_unix_nano(),
            passed: Vec::new(),
            sent: Vec::new(),
            counters,
            said: HashSet::new(),
        }
    }

    /// The wall clock, unix ns, as it was when the processor was called.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now_unix_nano
    }

    /// Passes on what came of a batch: it stays with the other batches of the request that it came in.
    pub fn pass(&mut self, batch: Batch) {
        self.passed.push(batch);
    }

    /// Sends on what belongs together: it becomes a request of its own.
    pub fn send(&mut self, request: Vec<Batch>) {
        if !request.is_empty() {
            self.sent.push(request);
        }
    }

    /// Counts points that go no further.
    pub fn dropped(&self, points: usize, reason: &'static str) {
        self.counters.add("points_dropped", reason, points as u64);
    }

    /// The component's counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Warns, each text once, and of ten texts at the most: the rest is in the counters.
    pub fn warn_once(&mut self, text: String) {
        if self.said.len() < MOST_SAID && !self.said.contains(&text) {
            tracing::warn!("{text}");
            self.said.insert(text);
        }
    }

    /// A series that would be the same as another one, which stays; `first` finds that one, where it is to be named.
    pub(crate) fn duplicate<'a>(
        &mut self,
        made: &Series,
        from: &Series,
        first: impl FnOnce() -> Option<&'a Series>,
    ) {
        self.counters.add("series_refused", "duplicate", 1);
        if self.said.len() >= MOST_SAID {
            return;
        }
        let path = |it: &Series| {
            it.source
                .as_ref()
                .map_or_else(|| it.name.to_string(), Source::path)
        };
        let first = first().map_or_else(|| "another series".into(), path);
        let made = crate::formats::text::identity(&made.name, &made.attributes);
        self.warn_once(format!(
            "{} would become {made}, which {first} is already; dropped",
            path(from)
        ));
    }

    /// Takes what was sent, and sets the clock for the next call.
    pub fn take(&mut self) -> Vec<Vec<Batch>> {
        self.now_unix_nano = now_unix_nano();
        let passed = std::mem::take(&mut self.passed);
        self.send(passed);
        std::mem::take(&mut self.sent)
    }
}

/// The wall clock, unix ns.
#[must_use]
pub fn now_unix_nano() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// How long a receiver runs.
#[derive(Clone)]
pub struct Until {
    end: watch::Receiver<bool>,
    once: bool,
    counters: Counters,
}

impl Until {
    /// Until `end` turns true or is dropped; with `once` there is one tick only.
    #[must_use]
    pub fn new(end: watch::Receiver<bool>, once: bool, counters: Counters) -> Until {
        Until {
            end,
            once,
            counters,
        }
    }

    /// A tick each interval, the first one after `delay`. Missed ticks are skipped and counted, never made up for.
    #[must_use]
    pub fn ticks(&self, interval: Duration, delay: Duration) -> Ticks {
        Ticks {
            until: self.clone(),
            interval: interval.max(Duration::from_nanos(1)),
            next: 0,
            due: Instant::now() + delay,
            aligned: false,
        }
    }

    /// The same, each tick at a whole multiple of the interval by the wall clock: every 10 s at :00, :10, :20. A clock
    /// that is set moves the ticks by half an interval at the most, and neither doubles nor loses one.
    #[must_use]
    pub fn aligned_ticks(&self, interval: Duration, delay: Duration) -> Ticks {
        Ticks {
            aligned: true,
            ..self.ticks(interval, delay)
        }
    }

    /// Waits for the end.
    pub fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut end = self.end.clone();
        async move {
            // An error means that the service is gone: the end as well.
            let _ = end.wait_for(|end| *end).await;
        }
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Until")
            .field("once", &self.once)
            .finish_non_exhaustive()
    }
}

/// The ticks of a receiver: a fixed grid, so that they do not drift.
#[derive(Debug)]
pub struct Ticks {
    until: Until,
    interval: Duration,
    next: u64,
    /// When the time of the next one comes.
    due: Instant,
    aligned: bool,
}

impl Ticks {
    /// The number of the next tick, from 0, when its time has come; `None` at the end. It may be cancelled.
    pub async fn next(&mut self) -> Option<u64> {
        if self.until.once && self.next > 0 {
            return None;
        }
        let late = Instant::now()
            .saturating_duration_since(self.due)
            .as_nanos();
        let late = u64::try_from(late / self.interval.as_nanos()).unwrap_or(u64::MAX);
        self.until.counters.add("sweeps_skipped", "", late);
        self.next += late;
        self.due += mul(self.interval, late);
        if self.aligned {
            self.due = self.aligned(now_unix_nano());
        }
        tokio::select! {
            biased;
            () = self.until.end() => return None,
            () = sleep_until(self.due) => {}
        }
        self.next += 1;
        self.due += self.interval;
        Some(self.next - 1)
    }

    /// The whole multiple of the interval that is next to when the tick is due.
    fn aligned(&self, now_unix_nano: u64) -> Instant {
        let ahead = self.due.saturating_duration_since(Instant::now());
        let wall = u128::from(now_unix_nano) + ahead.as_nanos();
        let over = u64::try_from(wall % self.interval.as_nanos()).unwrap_or_default();
        let over = Duration::from_nanos(over);
        if over * 2 < self.interval {
            self.due.checked_sub(over).unwrap_or(self.due)
        } else {
            self.due + self.interval.saturating_sub(over)
        }
    }
}

/// `Duration * u64`, which std has for `u32` only.
fn mul(interval: Duration, times: u64) -> Duration {
    let nanos = interval.as_nanos().saturating_mul(u128::from(times));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_ticks_do_not_drift_and_missed_ones_are_counted() {
        let (_end, hear) = watch::channel(false);
        let counters = Counters::new("test");
        let start = Instant::now();
        let mut ticks = Until::new(hear, false, counters.clone())
            .ticks(Duration::from_millis(100), Duration::ZERO);
        for number in 0..10_000 {
            assert_eq!(ticks.next().await, Some(number));
        }
        assert_eq!(start.elapsed().as_millis(), 9_999 * 100);
        tokio::time::advance(Duration::from_millis(550)).await;
        assert_eq!(
            ticks.next().await,
            Some(10_004),
            "at once, since its time has come"
        );
        assert_eq!(ticks.next().await, Some(10_005));
        assert_eq!(counters.total("sweeps_skipped"), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn aligned_ticks_follow_the_wall_clock_and_one_that_is_set_by_hours_neither_doubles_nor_loses_one()
     {
        let (_end, hear) = watch::channel(false);
        let ten = Duration::from_secs(10);
        let ticks = Until::new(hear, false, Counters::new("test"))
            .aligned_ticks(ten, Duration::from_secs(3));
        let now = Instant::now();
        #[allow(clippy::cast_possible_truncation)]
        let at = |seconds: f64| {
            1_700_000_000_000_000_000_u64.saturating_add_signed((seconds * 1e9) as i64)
        };
        let moved = |wall| (ticks.aligned(at(wall)) - now).as_secs_f64();
        assert!(
            (moved(0.0) - 0.0).abs() < 0.01,
            "3 s after :00 is next to :00"
        );
        assert!(
            (moved(4.0) - 6.0).abs() < 0.01,
            "3 s after :04 is next to :10"
        );
        for wall in [0.0, 2.5, 3_600.0 + 4.0, -7_200.0 + 6.9, 9.999] {
            let unix = (wall + moved(wall)).rem_euclid(10.0);
            assert!(unix.min(10.0 - unix) < 0.01, "{wall}: {unix}");
            assert!(
                moved(wall) >= -2.0 && moved(wall) <= 8.0,
                "half an interval at the most"
            );
        }
    }
}
