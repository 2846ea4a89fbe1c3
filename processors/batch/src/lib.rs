#![doc = include_str!("../README.md")]

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

/// Joins the batches of one subsystem into requests.
#[derive(Debug)]
pub struct BatchProcessor {
    config: Arc<Config>,
    waiting: BTreeMap<Arc<str>, Waiting>,
    splitter: TableSplitter,
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
            if most > 0
                && self
                    .waiting
                    .get(&subsystem)
                    .is_some_and(|waiting| waiting.points + points > most)
            {
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
            if last
                || waiting.points >= self.config.send_batch_size
                || self.config.timeout.0.is_zero()
            {
                self.send(&subsystem, out);
            }
        }
        Ok(())
    }

    fn demand(&self, below: Demand) -> Demand {
        let config = Arc::clone(&self.config);
        below.at_most(move |head, _| config.of(&head.subsystem)?.interval.map(|it| it.0))
    }

    fn wake_at(&self) -> Option<Instant> {
        self.waiting
            .values()
            .map(|waiting| waiting.since + self.config.timeout.0)
            .min()
    }

    fn wake(&mut self, out: &mut Outbox) -> Result<()> {
        let now = Instant::now();
        let due = |waiting: &Waiting| waiting.since + self.config.timeout.0 <= now;
        let due = self
            .waiting
            .iter()
            .filter(|(_, waiting)| due(waiting))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        self.send_all(due, out);
        Ok(())
    }

    fn flush(&mut self, out: &mut Outbox) -> Result<()> {
        self.send_all(self.waiting.keys().cloned().collect(), out);
        Ok(())
    }
}

impl BatchProcessor {
    fn send_all(&mut self, mut subsystems: Vec<Arc<str>>, out: &mut Outbox) {
        subsystems.sort_by_key(|name| {
            std::cmp::Reverse(self.config.of(name).map_or(0, |it| it.priority))
        });
        subsystems.iter().for_each(|name| self.send(name, out));
    }

    fn send(&mut self, subsystem: &Arc<str>, out: &mut Outbox) {
        if let Some(waiting) = self.waiting.remove(subsystem) {
            out.send(waiting.batches);
        }
    }
}

impl Config {
    fn of(&self, subsystem: &str) -> Option<&Subsystem> {
        self.subsystems
            .iter()
            .find(|it| it.r#match.is_match(subsystem))
    }
}
