//! What the user writes, with the Collector's keys and defaults
//! ([configgrpc](https://github.com/open-telemetry/opentelemetry-collector/tree/main/config/configgrpc),
//! [configtls](https://github.com/open-telemetry/opentelemetry-collector/tree/main/config/configtls)).

use std::collections::BTreeMap;

use pipeline::Secret;
use pipeline_grpc::{Compression, Keepalive, Tls};
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
