//! HTTP/2 pings.

use pipeline::config::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::transport::Endpoint;

/// HTTP/2 keepalive of a client.
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

impl Keepalive {
    /// The endpoint with these pings.
    #[must_use]
    pub fn apply(&self, endpoint: Endpoint) -> Endpoint {
        endpoint
            .http2_keep_alive_interval(self.time.0)
            .keep_alive_timeout(self.timeout.0)
            .keep_alive_while_idle(self.permit_without_stream)
    }
}
