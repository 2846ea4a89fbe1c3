//! What the user writes: the keys of the Collector's exporter of this name, and what they mean there.

use std::collections::BTreeMap;

use pipeline::config::Duration;
use pipeline::formats::prometheus::{ResourceConstantLabels, Settings, TranslationStrategy};
use pipeline::{Context, Error, Result};
use pipeline_http::{Endpoint, Limits, ServerConfig, ServerTls};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of a `prometheus` exporter.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // the keys are other people's
pub struct Config {
    /// Where it listens: `host:port`, or `unix:/path`.
    #[serde(default = "default_endpoint")]
    pub endpoint: Endpoint,
    /// The path that is scraped.
    #[serde(default = "default_path")]
    pub path: String,
    /// TLS; plain text without it.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// Names, without a port, by which clients may ask for it beside those of loopback.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    /// What it takes at the most.
    #[serde(default)]
    pub limits: Limits,
    /// How names are made.
    #[serde(default)]
    pub translation_strategy: Option<TranslationStrategy>,
    /// Stands before each name, with a `_` after it.
    #[serde(default)]
    pub namespace: String,
    /// Labels of each series.
    #[serde(default)]
    pub const_labels: BTreeMap<String, String>,
    /// Whether each value has the time when it was read.
    #[serde(default)]
    pub send_timestamps: bool,
    /// How long a series is shown that shows nothing new; three of its intervals at least.
    #[serde(default = "default_expiration")]
    pub metric_expiration: Duration,
    /// Whether no unit is added to names.
    #[serde(default)]
    pub without_units: bool,
    /// Whether no `_total` is added to the names of counters.
    #[serde(default)]
    pub without_type_suffix: bool,
    /// Whether series have no `otel_scope_name` and `otel_scope_version`.
    #[serde(default)]
    pub without_scope_info: bool,
    /// Which attributes of the resource each series has as labels, by globs over their keys.
    #[serde(default)]
    pub resource_constant_labels: ResourceConstantLabels,
    /// Whether who asks for OpenMetrics gets it.
    #[serde(default = "yes")]
    pub enable_open_metrics: bool,
    /// Deprecated: `translation_strategy` says it.
    #[serde(default)]
    pub add_metric_suffixes: Option<bool>,
    /// Deprecated: `resource_constant_labels` says it.
    #[serde(default)]
    pub resource_to_telemetry_conversion: Option<ResourceToTelemetry>,
}

/// The older form of `resource_constant_labels`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceToTelemetry {
    /// Whether every attribute of the resource is a label.
    #[serde(default)]
    pub enabled: bool,
}

fn default_endpoint() -> Endpoint {
    let address = "127.0.0.1:9464".parse();
    address.expect("an endpoint")
}

fn default_path() -> String {
    "/metrics".into()
}

fn default_expiration() -> Duration {
    Duration::from_secs(300)
}

fn yes() -> bool {
    true
}

impl Config {
    /// How the exposition is made, and the server.
    pub(crate) fn split(self, context: &Context) -> Result<(Settings, ServerConfig)> {
        if !self.path.starts_with('/') || self.path.contains(['{', '}', '?', '#', '*', ':']) {
            let why = "the path begins with `/`, and has no `{`, `}`, `?`, `#`, `*` or `:`";
            return Err(Error::at("path", why));
        }
        let mut settings = Settings::default();
        settings.translation_strategy = self.strategy();
        settings.resource_constant_labels = self.resource_labels();
        settings.namespace = self.namespace;
        settings.const_labels = self.const_labels;
        settings.without_units = self.without_units;
        settings.without_type_suffix = self.without_type_suffix;
        settings.scope_info = !self.without_scope_info;
        settings.own_resource = context.resource.clone();
        settings.target_info = true;
        settings.timestamps = self.send_timestamps;
        let server = ServerConfig {
            endpoint: self.endpoint,
            tls: self.tls,
            allowed_hosts: self.allowed_hosts,
            limits: self.limits,
        };
        Ok((settings, server))
    }

    fn strategy(&self) -> TranslationStrategy {
        let without = TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
        let deprecated = (self.add_metric_suffixes == Some(false)).then_some(without);
        let written = self.translation_strategy.or(deprecated);
        written.unwrap_or_default()
    }

    fn resource_labels(&self) -> ResourceConstantLabels {
        let is_written = !self.resource_constant_labels.is_empty();
        let all = self.resource_to_telemetry_conversion;
        if !is_written && all.is_some_and(|it| it.enabled) {
            return ResourceConstantLabels::all();
        }
        self.resource_constant_labels.clone()
    }

    /// What the user would better write otherwise.
    pub(crate) fn hints(&self) -> Vec<&'static str> {
        let suffixes = "`add_metric_suffixes` is deprecated: write `translation_strategy: UnderscoreEscapingWithoutSuffixes`, or nothing";
        let resource = "`resource_to_telemetry_conversion` is deprecated: write `resource_constant_labels: {included: ['*']}`, or nothing";
        let both = [
            self.add_metric_suffixes.map(|_| suffixes),
            self.resource_to_telemetry_conversion.map(|_| resource),
        ];
        both.into_iter().flatten().collect()
    }
}
