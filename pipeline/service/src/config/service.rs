//! What the user writes below `service:`, and around each receiver and exporter.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

use pipeline::config::{ByteSize, Duration};
use pipeline::{AnyValue, Delivery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::own_metrics::Metrics;
use super::retry::RetryOnFailure;
use super::sending_queue::{Overflow, SendingQueue};

/// `service:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// Attributes of the resource, over what is found out and `OTEL_RESOURCE_ATTRIBUTES`.
    #[serde(default)]
    pub(crate) resource: BTreeMap<String, AnyValue>,
    /// How many requests an edge of the pipeline holds.
    #[serde(default = "channel_capacity")]
    pub(crate) channel_capacity: NonZeroU16,
    /// How long the end may take.
    #[serde(default = "shutdown_timeout")]
    pub(crate) shutdown_timeout: Duration,
    /// Where the host's file system is seen from here.
    #[serde(default = "host_root")]
    pub(crate) host_root: PathBuf,
    /// How much memory it may take.
    #[serde(default)]
    pub(crate) memory: Memory,
    /// What the program takes away from itself once the configuration is read.
    #[serde(default)]
    pub(crate) sandbox: Sandbox,
    /// What the program reports of itself.
    #[serde(default)]
    pub(crate) telemetry: Telemetry,
    /// The ids of extensions, in the order in which they start.
    #[serde(default)]
    pub(crate) extensions: Vec<String>,
    /// `metrics` or `metrics/<name>`.
    pub(crate) pipelines: BTreeMap<String, PipelineConfig>,
}

impl Service {
    /// Of these pipelines, and all else at its default.
    pub(super) fn of(pipelines: BTreeMap<String, PipelineConfig>) -> Service {
        Service {
            resource: BTreeMap::new(),
            channel_capacity: channel_capacity(),
            shutdown_timeout: shutdown_timeout(),
            host_root: host_root(),
            memory: Memory::default(),
            sandbox: Sandbox::default(),
            telemetry: Telemetry::default(),
            extensions: Vec::new(),
            pipelines,
        }
    }
}

fn channel_capacity() -> NonZeroU16 {
    NonZeroU16::new(16).expect("16 is not 0")
}

fn shutdown_timeout() -> Duration {
    Duration::from_secs(10)
}

fn host_root() -> PathBuf {
    PathBuf::from("/")
}

/// `service.sandbox:`. It needs no right to take rights away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sandbox {
    /// All that no component needs and the kernel can take away; what is dangerous of system calls.
    #[default]
    Auto,
    /// Nothing.
    Off,
    /// The same, with a list of the system calls that are allowed, and an end where the kernel cannot do all of it.
    Strict,
}

/// `service.memory:`. From 80 % of the limit on the sending queues let go what they can.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Memory {
    /// How much the program may take.
    pub(crate) limit: Option<ByteSize>,
    /// The same as a part of what its cgroup may take, or else of what the machine has; where `limit` is written that holds.
    pub(crate) limit_percentage: Percentage,
}

/// 1 to 100.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u8")]
pub(crate) struct Percentage(#[schemars(range(min = 1, max = 100))] pub(crate) u8);

impl Default for Percentage {
    fn default() -> Percentage {
        Percentage(100)
    }
}

impl TryFrom<u8> for Percentage {
    type Error = &'static str;

    fn try_from(percentage: u8) -> Result<Percentage, &'static str> {
        if (1..=100).contains(&percentage) {
            Ok(Percentage(percentage))
        } else {
            Err("a percentage is from 1 to 100")
        }
    }
}

/// `service.telemetry:`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    /// Its log lines.
    pub(crate) logs: Logs,
    /// What it counts, to whom it is told.
    pub(crate) metrics: Metrics,
}

/// `service.telemetry.logs:`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Logs {
    /// What is less important is not logged; `RUST_LOG` stands over it.
    pub(crate) level: Level,
    /// How lines are written.
    pub(crate) encoding: Encoding,
    /// The time between lines with all counts; 0: none.
    pub(crate) summary_interval: Duration,
}

impl Default for Logs {
    fn default() -> Logs {
        Logs {
            level: Level::Info,
            encoding: Encoding::Console,
            summary_interval: Duration::from_secs(60),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    Console,
    Json,
}

/// One of `service.pipelines:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineConfig {
    /// The ids of receivers.
    #[serde(default)]
    pub(crate) receivers: Vec<String>,
    /// The ids of processors, in order.
    #[serde(default)]
    pub(crate) processors: Vec<String>,
    /// The ids of exporters.
    #[serde(default)]
    pub(crate) exporters: Vec<String>,
}

/// `timeout`, `sending_queue` and `retry_on_failure` of an exporter whose map has none of them, as a user would write
/// them: what its README has to show.
#[must_use]
pub fn delivery_config(delivery: &Delivery) -> impl Serialize + use<> {
    WrittenDelivery {
        timeout: Duration(delivery.timeout),
        sending_queue: SendingQueue::of(delivery),
        retry_on_failure: RetryOnFailure::of(delivery),
    }
}

/// What stands in an exporter's map beside its own keys.
#[derive(Serialize, JsonSchema)]
pub(super) struct WrittenDelivery {
    /// How long one attempt may take; 0: as long as it takes.
    timeout: Duration,
    /// What waits to be sent.
    sending_queue: SendingQueue,
    /// What fails for the time being is sent again.
    retry_on_failure: RetryOnFailure,
}

/// What stands in a receiver's map beside its own keys.
#[derive(JsonSchema)]
pub(super) struct WrittenReceiver {
    /// Whether it may be without any series: if not, that is a warning, and `--once` exits 1.
    #[schemars(default)]
    #[allow(dead_code)] // for the schema: it is decoded by itself
    optional: bool,
}

/// All that stands around an exporter.
#[derive(Debug)]
pub(crate) struct DeliveryConfig {
    pub(crate) delivery: Delivery,
    /// What a full queue does.
    pub(crate) overflow: Overflow,
    pub(crate) queue: SendingQueue,
    pub(crate) retry: RetryOnFailure,
}
