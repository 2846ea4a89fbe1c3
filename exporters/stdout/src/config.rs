//! What the user writes.

use pipeline::formats::prometheus::TranslationStrategy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of a `stdout` exporter.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How points are written.
    #[serde(default)]
    pub format: OutputFormat,
    /// Whether `text` has, on a terminal, how much a counter grew a second since it was last read.
    #[serde(default)]
    pub rate: bool,
    /// How names are made in the format `prometheus`, as the Collector's exporter of that name makes them.
    #[serde(default)]
    pub translation_strategy: TranslationStrategy,
}

/// How points are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// A line a point, for people: `NAME{k=v,…} VALUE KIND UNIT`.
    #[default]
    Text,
    /// OTLP JSON, one request a line, as the Collector's file exporter writes it.
    Json,
    /// A whole Prometheus exposition a sweep.
    Prometheus,
}
