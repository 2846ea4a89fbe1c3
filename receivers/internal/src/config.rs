//! The configuration as the user writes it.

use std::collections::BTreeMap;

use pipeline::AnyValue;
use pipeline::config::{Duration, InitialDelay};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of an `internal` receiver.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The time between sweeps.
    pub collection_interval: Duration,
    /// The time before the first sweep.
    pub initial_delay: InitialDelay,
    /// How much is told.
    pub level: Level,
    /// Labels for every series.
    pub labels: BTreeMap<String, AnyValue>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            collection_interval: Duration::from_secs(10),
            initial_delay: InitialDelay::default(),
            level: Level::Normal,
            labels: BTreeMap::new(),
        }
    }
}

/// How much is told; each level has what the ones before it have.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What the Collector tells, and what is lost.
    Basic,
    /// All counts of each component.
    Normal,
    /// By subsystem, too.
    Detailed,
}

impl Level {
    /// The level as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Basic => "basic",
            Level::Normal => "normal",
            Level::Detailed => "detailed",
        }
    }
}
