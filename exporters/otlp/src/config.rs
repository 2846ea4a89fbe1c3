//! What the user writes, with the Collector's keys and defaults
//! ([configgrpc](https://github.com/open-telemetry/opentelemetry-collector/tree/main/config/configgrpc),
//! [configtls](https://github.com/open-telemetry/opentelemetry-collector/tree/main/config/configtls)).

use std::collections::BTreeMap;
use std::path::PathBuf;

use pipeline::Secret;
use pipeline::config::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of an `otlp` exporter.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `host:port`, or with a scheme: `http://` is plain text, `https://` is TLS whatever `tls.insecure` says.
    pub endpoint: String,
    /// TLS; on by default, with the system's own roots.
    #[serde(default)]
    pub tls: Tls,
    /// Sent with each request, as gRPC metadata.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// How requests are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// HTTP/2 pings that find out whether the peer is still there; none without.
    pub keepalive: Option<Keepalive>,
}

/// TLS settings.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// No TLS.
    pub insecure: bool,
    /// PEM file of the authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate, with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's private key.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate has to carry, instead of the endpoint's host.
    pub server_name_override: Option<String>,
}

/// HTTP/2 keepalive.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keepalive {
    /// From ping to ping.
    pub time: Duration,
    /// How long the answer to one may take.
    pub timeout: Duration,
    /// Whether to ping while nothing is being sent.
    pub permit_without_stream: bool,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        let ten = Duration::from_secs(10);
        Keepalive {
            time: ten,
            timeout: ten,
            permit_without_stream: false,
        }
    }
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// zstd, and gzip for a peer that does not know zstd: as small, at a tenth of the time.
    #[default]
    Zstd,
    /// gzip.
    Gzip,
    /// Not at all.
    None,
}
