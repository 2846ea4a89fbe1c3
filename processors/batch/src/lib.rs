#![doc = include_str!("../README.md")]

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::config::{Duration, Pattern};
use pipeline::{
    Batch, Component, Context, Demand, Error, Outbox, Processor, Result, TableSplitter,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The configuration of a `batch` processor, with the Collector's keys and defaults.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A request goes out when it has so many points.
    pub send_batch_size: usize,
    /// A request goes out after so long, whatever it has; 0: at once.
    pub timeout: Duration,
    /// No request has more points; 0: no limit.
    pub send_batch_max_size: usize,
    /// How often some subsystems are wanted, and which go first; the first match holds.
    pub subsystems: Vec<Subsystem>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            send_batch_size: 8192,
            timeout: Duration::from_millis(200),
            send_batch_max_size: 0,
            subsystems: Vec::new(),
        }
    }
}

/// What is wanted of some subsystems.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subsystem {
    /// The subsystem's name.
    pub r#match: Pattern,
    /// No more often than this; never more often than the receiver's `collection_interval`.
    pub interval: Option<Duration>,
    /// Where several wait, the higher one goes out first.
    #[serde(default)]
    pub priority: i32,
}

/// Joins batches into requests: a subsystem's, and those of small subsystems.
#[derive(Debug)]
pub struct BatchProcessor {
    config: Arc<Config>,
    /// What came of each subsystem since the last end of its sweep.
    waiting: BTreeMap<Arc<str>, Waiting>,
    joined: Joined,
    splitter: TableSplitter,
}

/// The rests of sweeps that are over, which go out together: at the most one of each subsystem.
#[derive(Debug, Default)]
struct Joined {
    subsystems: BTreeMap<Arc<str>, Waiting>,
    points: usize,
    /// That of the one that waits longest.
    since: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    batches: Vec<Batch>,
    points: usize,
    since: Instant,
}

pipeline::register! { processor BatchProcessor }

impl Component for BatchProcessor {
    const TYPE: &'static str = "batch";
    type Config = Config;

    fn build(config: Config, _: &Context) -> Result<BatchProcessor> {
        if config.send_batch_max_size > 0 && config.send_batch_max_size < config.send_batch_size {
            return Err(Error::at(
                "send_batch_max_size",
                "is below `send_batch_size` (8192 by default)",
            ));
        }
        Ok(BatchProcessor {
            config: Arc::new(config),
            waiting: BTreeMap::new(),
            joined: Joined::default(),
            splitter: TableSplitter::default(),
        })
    }
}

impl Processor for BatchProcessor {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        let subsystem = Arc::clone(&batch.table().head().subsystem);
        for batch in self.splitter.split(batch, self.config.send_batch_max_size) {
            let (points, last) = (batch.points(), batch.sweep().last);
            let most = self.config.send_batch_max_size;
            let waiting = self.waiting.get(&subsystem);
            if most > 0 && waiting.is_some_and(|waiting| waiting.points + points > most) {
                self.send(&subsystem, out);
            }
            let empty = || Waiting {
                batches: Vec::new(),
                points: 0,
                since: Instant::now(),
            };
            let waiting = self
                .waiting
                .entry(Arc::clone(&subsystem))
                .or_insert_with(empty);
            waiting.batches.push(batch);
            waiting.points += points;
            if waiting.points >= self.config.send_batch_size || self.config.timeout.0.is_zero() {
                self.send(&subsystem, out);
            } else if last && let Some(rest) = self.waiting.remove(&subsystem) {
                self.join(subsystem.clone(), rest, out);
            }
        }
        Ok(())
    }

    fn demand(&self, below: Demand) -> Demand {
        let config = Arc::clone(&self.config);
        below.at_most(move |head, _| config.of(&head.subsystem)?.interval.map(|it| it.0))
    }

    fn wake_at(&self) -> Option<Instant> {
        let waiting = self.waiting.values().map(|waiting| waiting.since);
        let first = waiting.chain(self.joined.since).min();
        first.map(|since| since + self.config.timeout.0)
    }

    fn wake(&mut self, out: &mut Outbox) -> Result<()> {
        let now = Instant::now();
        let timeout = self.config.timeout.0;
        self.send_together(|waiting| waiting.since + timeout <= now, out);
        Ok(())
    }

    fn flush(&mut self, out: &mut Outbox) -> Result<()> {
        self.send_together(|_| true, out);
        Ok(())
    }
}

impl BatchProcessor {
    /// Sends what came of one subsystem, after what is joined of it.
    fn send(&mut self, subsystem: &Arc<str>, out: &mut Outbox) {
        if self.joined.subsystems.contains_key(subsystem) {
            self.send_joined(out);
        }
        if let Some(waiting) = self.waiting.remove(subsystem) {
            out.send(waiting.batches);
        }
    }

    /// Puts the rest of a subsystem's sweep to those of the others.
    fn join(&mut self, subsystem: Arc<str>, rest: Waiting, out: &mut Outbox) {
        let most = self.config.send_batch_max_size;
        let is_too_much = most > 0 && self.joined.points + rest.points > most;
        if is_too_much || self.joined.subsystems.contains_key(&subsystem) {
            self.send_joined(out);
        }
        let joined = &mut self.joined;
        joined.points += rest.points;
        joined.since = joined.since.into_iter().chain([rest.since]).min();
        joined.subsystems.insert(subsystem, rest);
        if joined.points >= self.config.send_batch_size {
            self.send_joined(out);
        }
    }

    /// Sends what is joined, the more important first.
    fn send_joined(&mut self, out: &mut Outbox) {
        let all = self.take_joined([]).into_iter();
        out.send(all.flat_map(|(_, it)| it.batches).collect());
    }

    /// What is joined and these, the more important first.
    fn take_joined(
        &mut self,
        more: impl IntoIterator<Item = (Arc<str>, Waiting)>,
    ) -> Vec<(Arc<str>, Waiting)> {
        let joined = std::mem::take(&mut self.joined);
        let mut all: Vec<_> = joined.subsystems.into_iter().chain(more).collect();
        all.sort_by_key(|(subsystem, _)| Reverse(self.config.priority(subsystem)));
        all
    }

    /// Sends what is due and what is joined, the more important first.
    fn send_together(&mut self, is_due: impl Fn(&Waiting) -> bool, out: &mut Outbox) {
        let due = self.waiting.extract_if(.., |_, waiting| is_due(waiting));
        let due: Vec<_> = due.collect();
        for (subsystem, waiting) in self.take_joined(due) {
            self.join(subsystem, waiting, out);
        }
        self.send_joined(out);
    }
}

impl Config {
    fn priority(&self, subsystem: &str) -> i32 {
        self.of(subsystem).map_or(0, |it| it.priority)
    }

    fn of(&self, subsystem: &str) -> Option<&Subsystem> {
        self.subsystems
            .iter()
            .find(|it| it.r#match.is_match(subsystem))
    }
}
