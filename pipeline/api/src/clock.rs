//! Time, as a receiver knows it: its ticks, and the shutdown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::telemetry::{Counter, Counters};

/// The wall clock, unix ns.
#[must_use]
pub fn now_unix_nano() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Tells a component to end.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Ends when `end` turns true or is dropped.
    #[must_use]
    pub fn new(end: watch::Receiver<bool>) -> Shutdown {
        Shutdown(end)
    }

    /// Waits for it.
    pub async fn wait(mut self) {
        // An error means that the service is gone: the end as well.
        let _ = self.0.wait_for(|end| *end).await;
    }
}

/// What a receiver goes by: its ticks, and the shutdown.
#[derive(Clone, Debug)]
pub struct ReceiverClock {
    /// Only receivers hear it while data flows.
    pub shutdown: Shutdown,
    once: bool,
    counters: Counters,
}

impl ReceiverClock {
    /// Until the shutdown; with `once` there is one tick only.
    #[must_use]
    pub fn new(shutdown: Shutdown, once: bool, counters: Counters) -> ReceiverClock {
        ReceiverClock {
            shutdown,
            once,
            counters,
        }
    }

    /// Whether there is one tick only.
    #[must_use]
    pub fn is_once(&self) -> bool {
        self.once
    }

    /// A tick each interval, the first one after `delay`. Missed ticks are skipped and counted, never made up for.
    #[must_use]
    pub fn ticks(&self, interval: Duration, delay: Duration) -> Ticks {
        Ticks {
            clock: self.clone(),
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
}

/// The ticks of a receiver: a fixed grid, so that they do not drift.
#[derive(Debug)]
pub struct Ticks {
    clock: ReceiverClock,
    interval: Duration,
    next: u64,
    /// When the time of the next one comes.
    due: Instant,
    aligned: bool,
}

impl Ticks {
    /// The number of the next tick, from 0, when its time has come; `None` at the end. It may be cancelled.
    pub async fn next(&mut self) -> Option<u64> {
        if self.clock.once && self.next > 0 {
            return None;
        }
        let late = Instant::now()
            .saturating_duration_since(self.due)
            .as_nanos();
        let late = u64::try_from(late / self.interval.as_nanos()).unwrap_or(u64::MAX);
        self.clock.counters.record(Counter::SWEEPS_SKIPPED, late);
        self.next += late;
        self.due += mul(self.interval, late);
        if self.aligned {
            self.due = self.aligned(now_unix_nano());
        }
        tokio::select! {
            biased;
            () = self.clock.shutdown.clone().wait() => return None,
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
        let mut ticks = ReceiverClock::new(Shutdown::new(hear), false, counters.clone())
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
        let ticks = ReceiverClock::new(Shutdown::new(hear), false, Counters::new("test"))
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
