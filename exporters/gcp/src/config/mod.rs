//! The configuration, with the keys, meaning and defaults of the Collector's `googlecloud` exporter
//! ([its documentation](https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/googlecloudexporter)).

mod check;
mod unsupported;

use std::path::PathBuf;

use pipeline::config::{Duration, Regex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of a `gcp` exporter.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The project to write to. Without it: the resource's `gcp.project.id`, the credentials', the metadata server's.
    pub project: Option<String>,
    /// Sent with each request; `{{version}}` stands for this program's.
    pub user_agent: Option<String>,
    /// Quotas count against the project that is written to (the header `x-goog-user-project`).
    pub destination_project_quota: bool,
    /// The service account to impersonate.
    pub impersonate: Option<Impersonation>,
    /// The detectors of where this host runs; none for `[]`.
    pub detectors: Vec<Detector>,
    /// How long detection may take. Meanwhile data points wait in the queue.
    pub detectors_timeout: Duration,
    /// How metrics are sent.
    pub metric: MetricConfig,
    #[serde(deserialize_with = "unsupported::authenticator", skip_serializing)]
    #[schemars(skip)]
    authenticator: (),
    #[serde(deserialize_with = "unsupported::other_signal", skip_serializing)]
    #[schemars(skip)]
    log: (),
    #[serde(deserialize_with = "unsupported::other_signal", skip_serializing)]
    #[schemars(skip)]
    trace: (),
}

impl Default for Config {
    fn default() -> Config {
        Config {
            project: None,
            user_agent: None,
            destination_project_quota: false,
            impersonate: None,
            detectors: vec![Detector::Gcp],
            detectors_timeout: Duration::from_secs(5),
            metric: MetricConfig::default(),
            authenticator: (),
            log: (),
            trace: (),
        }
    }
}

/// The service account to impersonate.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(clippy::manual_non_exhaustive)] // that field is a key
pub struct Impersonation {
    /// The account's mail address.
    pub target_principal: String,
    /// The chain of accounts to it. Each may impersonate the next.
    #[serde(default)]
    pub delegates: Vec<String>,
    #[serde(default, deserialize_with = "unsupported::subject", skip_serializing)]
    #[schemars(skip)]
    #[allow(dead_code)] // present only to be refused with the reason
    subject: (),
}

/// A detector of where this host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Detector {
    /// Google's metadata server, on Compute Engine and Kubernetes Engine.
    Gcp,
}

/// How metrics are sent.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools)] // the reference's keys
pub struct MetricConfig {
    /// Put before each metric name that contains no known domain.
    pub prefix: String,
    /// A name that contains one of these is used as the metric type without the prefix.
    pub known_domains: Vec<String>,
    /// `host:port`.
    pub endpoint: Option<String>,
    /// PEM file of the authorities to trust, instead of the system's. Only with an `endpoint` of your own.
    pub ca_file: Option<PathBuf>,
    /// The name that the server's certificate has to carry, instead of the endpoint's host. Only with an `endpoint` of your own.
    pub server_name_override: Option<String>,
    /// No TLS and no credentials. Only with an `endpoint` of your own.
    pub use_insecure: bool,
    /// How requests are compressed.
    pub compression: GcpCompression,
    /// Creates no descriptors. The API creates them from the first point, without description and unit.
    pub skip_create_descriptor: bool,
    /// Writes by `CreateServiceTimeSeries`, for Google's own services; creates no descriptors.
    pub create_service_timeseries: bool,
    /// Resource attributes that become labels of each metric.
    pub resource_filters: Vec<ResourceFilter>,
    /// Adds the labels `instrumentation_source` and `instrumentation_version`.
    pub instrumentation_library_labels: bool,
    /// Adds the labels `service_name`, `service_namespace` and `service_instance_id`.
    pub service_resource_labels: bool,
    /// The minimum interval between points of a series.
    pub min_interval: Duration,
    #[serde(deserialize_with = "unsupported::grpc_pool_size", skip_serializing)]
    #[schemars(skip)]
    grpc_pool_size: (),
    #[serde(deserialize_with = "unsupported::universe_domain", skip_serializing)]
    #[schemars(skip)]
    universe_domain: (),
    #[serde(deserialize_with = "unsupported::descriptor_buffer", skip_serializing)]
    #[schemars(skip)]
    create_metric_descriptor_buffer_size: (),
    #[serde(
        deserialize_with = "unsupported::cumulative_normalization",
        skip_serializing
    )]
    #[schemars(skip)]
    cumulative_normalization: (),
    #[serde(
        deserialize_with = "unsupported::sum_of_squared_deviation",
        skip_serializing
    )]
    #[schemars(skip)]
    sum_of_squared_deviation: (),
    #[serde(deserialize_with = "unsupported::write_ahead_log", skip_serializing)]
    #[schemars(skip)]
    experimental_wal_config: (),
    #[serde(deserialize_with = "unsupported::write_ahead_log", skip_serializing)]
    #[schemars(skip)]
    experimental_wal: (),
}

impl Default for MetricConfig {
    fn default() -> MetricConfig {
        let domains = ["googleapis.com", "kubernetes.io", "istio.io", "knative.dev"];
        MetricConfig {
            prefix: "workload.googleapis.com".into(),
            known_domains: domains.map(String::from).to_vec(),
            endpoint: None,
            ca_file: None,
            server_name_override: None,
            use_insecure: false,
            compression: GcpCompression::None,
            skip_create_descriptor: false,
            create_service_timeseries: false,
            resource_filters: Vec::new(),
            instrumentation_library_labels: true,
            service_resource_labels: true,
            min_interval: Duration::from_secs(10),
            grpc_pool_size: (),
            universe_domain: (),
            create_metric_descriptor_buffer_size: (),
            cumulative_normalization: (),
            sum_of_squared_deviation: (),
            experimental_wal_config: (),
            experimental_wal: (),
        }
    }
}

/// Which resource attributes become labels: those whose key matches both conditions that are given.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResourceFilter {
    /// The prefix of the key.
    pub prefix: String,
    /// A regular expression that matches anywhere in the key.
    pub regex: Option<Regex>,
}

impl ResourceFilter {
    pub(crate) fn is_match(&self, key: &str) -> bool {
        let is_match = |regex: &Regex| regex.0.is_match(key);
        key.starts_with(&self.prefix) && self.regex.as_ref().is_none_or(is_match)
    }
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum GcpCompression {
    /// Not at all.
    #[default]
    #[serde(rename = "none", alias = "")]
    None,
    /// gzip: a fifteenth of the bytes.
    #[serde(rename = "gzip")]
    Gzip,
}
