//! `sending_queue:` of an exporter, with the Collector's keys and defaults, and `overflow`
//! ([exporterhelper](https://github.com/open-telemetry/opentelemetry-collector/tree/main/exporter/exporterhelper)).

use std::num::NonZeroUsize;

use pipeline::Delivery;
use pipeline::config::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `queue_size` is where it is not written.
const QUEUE_SIZE: NonZeroUsize = NonZeroUsize::new(1000).expect("1000 is not 0");
/// What the values in a queue take at the most where `queue_size` is not written: bytes of memory.
const QUEUE_BYTES: usize = 32 << 20;

/// What waits to be sent.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SendingQueue {
    /// Without it one request is under way at a time, and what is above waits.
    pub(crate) enabled: bool,
    /// How many requests are under way at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) num_consumers: Option<NonZeroUsize>,
    /// How much it holds, those under way included. Where it is not written: 1000, and 32 MiB of values in memory,
    /// whichever comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue_size: Option<NonZeroUsize>,
    /// What `queue_size` counts.
    pub(crate) sizer: Sizer,
    /// What a full queue does while the exporter does not get on; `coalesce` where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) overflow: Option<Overflow>,
    /// The same as `overflow: block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) block_on_overflow: Option<bool>,
    /// What is above waits until a request is sent, or given up, before it hands over the next one.
    pub(crate) wait_for_result: bool,
    /// Requests wait to be joined. Without it those that wait anyway are sent together, and nothing waits for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<QueueBatch>,
    /// The id of an extension that keeps the queue on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage: Option<String>,
}

impl Default for SendingQueue {
    fn default() -> SendingQueue {
        SendingQueue {
            enabled: true,
            num_consumers: None,
            queue_size: None,
            sizer: Sizer::Requests,
            overflow: None,
            block_on_overflow: None,
            wait_for_result: false,
            batch: None,
            storage: None,
        }
    }
}

/// What `queue_size` counts: requests, data points, or the bytes that they have as OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sizer {
    Requests,
    Items,
    Bytes,
}

/// What a full queue does while the exporter does not get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overflow {
    /// Thins the sweeps that wait: a newer value holds what an older one said.
    Coalesce,
    /// Drops the requests that wait longest.
    DropOldest,
    /// Drops the requests that come.
    DropNewest,
    /// What is above waits for room, whatever the exporter does.
    Block,
}

/// `sending_queue.batch:`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QueueBatch {
    /// A request waits no longer to be joined.
    pub(crate) flush_timeout: Duration,
    /// A request of this size waits for no more.
    pub(crate) min_size: usize,
    /// No request is larger, but for a single point; 0: no limit.
    pub(crate) max_size: usize,
    /// What the sizes count; `items` where neither this nor the queue's `sizer` says `bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sizer: Option<BatchSizer>,
}

impl Default for QueueBatch {
    fn default() -> QueueBatch {
        QueueBatch {
            flush_timeout: Duration::from_millis(200),
            min_size: 8192,
            max_size: 0,
            sizer: None,
        }
    }
}

/// What the sizes of `batch` count: data points, or the bytes that they have as OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BatchSizer {
    Items,
    Bytes,
}

impl SendingQueue {
    /// As a user would write what holds for an exporter whose map says nothing of it.
    pub(crate) fn of(delivery: &Delivery) -> SendingQueue {
        let overflow = default_overflow(delivery);
        SendingQueue {
            num_consumers: NonZeroUsize::new(delivery.num_consumers),
            overflow: Some(overflow),
            block_on_overflow: Some(overflow == Overflow::Block),
            ..SendingQueue::default()
        }
    }

    /// What it holds, in what the sizer counts.
    pub(crate) fn size(&self) -> usize {
        self.queue_size.unwrap_or(QUEUE_SIZE).get()
    }

    /// What its values take in memory at the most; with `storage` all of it is on disk besides, and need not be in memory.
    pub(crate) fn max_bytes(&self) -> usize {
        if self.queue_size.is_none() || self.storage.is_some() {
            QUEUE_BYTES
        } else {
            usize::MAX
        }
    }

    /// What it does when it is full, for an exporter with these defaults.
    pub(crate) fn overflow(&self, delivery: &Delivery) -> Overflow {
        match (
            self.enabled && !self.wait_for_result,
            self.overflow,
            self.block_on_overflow,
        ) {
            (false, ..) | (_, None, Some(true)) => Overflow::Block,
            (_, Some(overflow), _) => overflow,
            (_, None, Some(false)) => Overflow::Coalesce,
            (_, None, None) => default_overflow(delivery),
        }
    }

    /// What the sizes of its `batch` count.
    pub(crate) fn batch_sizer(&self) -> Sizer {
        let own = self.batch.as_ref().and_then(|it| it.sizer);
        match (own, self.sizer) {
            (Some(BatchSizer::Bytes), _) | (None, Sizer::Bytes) => Sizer::Bytes,
            _ => Sizer::Items,
        }
    }

    /// The keys that cannot be as they are, by the Collector's own rules where they are its keys.
    pub(crate) fn mistakes(&self) -> Vec<(&'static [&'static str], &'static str)> {
        let mut mistakes: Vec<(&'static [&'static str], _)> = Vec::new();
        let overflow = self.overflow.unwrap_or(Overflow::Block);
        if self.block_on_overflow == Some(true) && overflow != Overflow::Block {
            let why = "is the same as `overflow: block`, and `overflow` says otherwise; take one of them out";
            mistakes.push((&["block_on_overflow"], why));
        }
        if self.wait_for_result && self.storage.is_some() {
            let why = "cannot be where the queue is on disk (`storage`)";
            mistakes.push((&["wait_for_result"], why));
        }
        let Some(batch) = &self.batch else {
            return mistakes;
        };
        if batch.flush_timeout.0.is_zero() {
            mistakes.push((&["batch", "flush_timeout"], "has to be more than 0"));
        }
        if batch.max_size > 0 && batch.max_size < batch.min_size {
            let why = "may not be below `min_size` (8192 by default), but for 0: no limit";
            mistakes.push((&["batch", "max_size"], why));
        }
        let is_larger = self.queue_size.is_some_and(|it| it.get() < batch.min_size);
        if is_larger && self.batch_sizer() == self.sizer {
            let why = "may not be above `queue_size`, which counts the same (8192 by default)";
            mistakes.push((&["batch", "min_size"], why));
        }
        mistakes
    }
}

fn default_overflow(delivery: &Delivery) -> Overflow {
    if delivery.block_on_overflow {
        Overflow::Block
    } else {
        Overflow::Coalesce
    }
}
