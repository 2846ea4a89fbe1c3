//! The summary: sums of all counters, now and then and at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use pipeline::telemetry::{Counter, CounterValue, Counters};
use tokio::time::{Instant, Interval, interval_at};

use super::log_format::SUMMARY;
use crate::config::Encoding;

/// Counters that stand first, in this order.
const FIRST: [Counter; 7] = [
    Counter::SWEEPS,
    Counter::FILES_READ,
    Counter::POINTS_READ,
    Counter::POINTS_SENT,
    Counter::POINTS_REJECTED,
    Counter::POINTS_DROPPED,
    Counter::POINTS_QUEUED,
];

/// Counters that are of one component each: their sums say nothing.
const LEFT_OUT: [Counter; 4] = [
    Counter::POINTS_INCOMING,
    Counter::POINTS_OUTGOING,
    Counter::QUEUE_SIZE,
    Counter::QUEUE_CAPACITY,
];

/// Logs the summary where something changed.
pub(crate) struct SummaryReporter {
    interval: Interval,
    encoding: Encoding,
    last: Option<String>,
}

impl SummaryReporter {
    /// Every so often; zero: at the end only.
    pub(crate) fn new(interval: Duration, encoding: Encoding) -> SummaryReporter {
        let interval = if interval.is_zero() {
            Duration::from_secs(u32::MAX.into())
        } else {
            interval
        };
        SummaryReporter {
            interval: interval_at(Instant::now() + interval, interval),
            encoding,
            last: None,
        }
    }

    /// Waits until the summary is due.
    pub(crate) async fn tick(&mut self) {
        self.interval.tick().await;
    }

    /// Logs the summary if something was counted since the last one, and gives it; `RUST_LOG=debug` adds that of each
    /// component.
    pub(crate) fn log(&mut self, counters: &Counters) -> Option<String> {
        let mut all = counters.snapshot();
        all.retain(|it| !LEFT_OUT.contains(&it.counter));
        let text = self.format(&all);
        if all.is_empty() || self.last.as_ref() == Some(&text) {
            return None;
        }
        tracing::info!(target: SUMMARY, counters = text, "summary");
        if tracing::enabled!(target: SUMMARY, tracing::Level::DEBUG) {
            for part in all.chunk_by(|a, b| a.component == b.component) {
                let (component, text) = (&*part[0].component, self.format(part));
                tracing::debug!(target: SUMMARY, counters = text, component, "summary");
            }
        }
        self.last = Some(text);
        Some(console(&sums(&all)))
    }

    /// Logs the summary at the end.
    pub(crate) fn log_last(&mut self, counters: &Counters) -> Option<String> {
        self.last = None;
        self.log(counters)
    }

    fn format(&self, values: &[CounterValue]) -> String {
        let sums = sums(values);
        match self.encoding {
            Encoding::Console => console(&sums),
            Encoding::Json => json(&sums),
        }
    }
}

/// A counter over all components, and by reason.
#[derive(Default)]
struct CounterSum {
    value: u64,
    by_reason: BTreeMap<&'static str, u64>,
}

/// By name, those that stand first in front.
fn sums(values: &[CounterValue]) -> Vec<(&'static str, CounterSum)> {
    let mut sums: BTreeMap<Counter, CounterSum> = BTreeMap::new();
    for CounterValue {
        counter,
        reason,
        value,
        ..
    } in values
    {
        let sum = sums.entry(*counter).or_default();
        sum.value = counter.combine(sum.value, *value);
        if !reason.is_empty() {
            *sum.by_reason.entry(*reason).or_default() += value;
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    let place = |counter: &Counter| FIRST.iter().position(|first| first == counter);
    sums.sort_by_key(|(counter, _)| (place(counter).unwrap_or(FIRST.len()), *counter));
    let sums = sums.into_iter();
    sums.map(|(counter, sum)| (counter.name(), sum)).collect()
}

/// `points_read=7 points_dropped=3 (filtered=2 not_due=1)`.
fn console(sums: &[(&str, CounterSum)]) -> String {
    let mut text = String::new();
    for (name, sum) in sums {
        let separator = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{separator}{name}={}", sum.value);
        let reasons = sum.by_reason.iter();
        let reasons: Vec<_> = reasons
            .map(|(reason, value)| format!("{reason}={value}"))
            .collect();
        if !reasons.is_empty() {
            let _ = write!(text, " ({})", reasons.join(" "));
        }
    }
    text
}

/// `{"points_read":7,"points_dropped":3,"points_dropped.filtered":2,"points_dropped.not_due":1}`.
fn json(sums: &[(&str, CounterSum)]) -> String {
    let mut object = serde_json::Map::new();
    for (name, sum) in sums {
        object.insert((*name).into(), sum.value.into());
        for (reason, value) in &sum.by_reason {
            object.insert(format!("{name}.{reason}"), (*value).into());
        }
    }
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use pipeline::telemetry::DropReason;

    use super::*;

    #[test]
    fn sums_are_over_components_and_a_maximum_is_the_largest() {
        let counters = Counters::new("a");
        let longest = Counter::maximum("longest_read_microseconds");
        counters.record(longest, 3);
        counters.of("b").record(longest, 9);
        counters.of("b").record(longest, 5);
        counters.dropped(DropReason::FILTERED, 2);
        counters.of("b").dropped(DropReason::NOT_DUE, 1);
        counters.record(Counter::POINTS_READ, 7);
        let sums = sums(&counters.snapshot());
        assert_eq!(
            console(&sums),
            "points_read=7 points_dropped=3 (filtered=2 not_due=1) longest_read_microseconds=9"
        );
        let object: serde_json::Value = serde_json::from_str(&json(&sums)).unwrap();
        assert_eq!(object["points_dropped.filtered"], 2);
        assert_eq!(object["longest_read_microseconds"], 9);
    }
}
