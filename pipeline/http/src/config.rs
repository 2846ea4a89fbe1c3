//! What the user writes.

use std::num::NonZeroU16;
use std::time::Duration;

use pipeline::{Context, Error, Result, config};
use pipeline_tls::ServerTls;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::server::Server;
use crate::visitors::{host_of, is_host};

/// The settings of a server, which a component has among its own fields under these names.
#[derive(Debug)]
pub struct ServerConfig {
    /// `endpoint`: where it listens.
    pub endpoint: Endpoint,
    /// `tls`: plain text without it.
    pub tls: Option<ServerTls>,
    /// `allowed_hosts`: names, without a port, by which clients may ask for it beside those of loopback.
    pub allowed_hosts: Vec<String>,
    /// `limits`.
    pub limits: Limits,
}

/// No client needs longer.
const MAX_TIMEOUT: Duration = Duration::from_hours(1);

/// What a server takes at the most.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many connections it has at a time; one more ends the oldest.
    pub max_connections: NonZeroU16,
    /// How long a client may take for the TLS handshake, and as long again to send its request; 1 h at the most.
    pub read_header_timeout: config::Duration,
    /// How long the answer may take in all, until the client has read it; 1 h at the most.
    pub write_timeout: config::Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: NonZeroU16::new(64).expect("64 is not 0"),
            read_header_timeout: config::Duration::from_secs(5),
            write_timeout: config::Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// How long a connection lives at the most.
    pub(crate) fn connection_timeout(&self) -> Duration {
        self.read_header_timeout
            .0
            .saturating_add(self.write_timeout.0)
    }

    fn check(&self) -> Result<()> {
        for (key, duration) in [
            ("limits.read_header_timeout", self.read_header_timeout),
            ("limits.write_timeout", self.write_timeout),
        ] {
            if duration.0.is_zero() || duration.0 > MAX_TIMEOUT {
                return Err(Error::at(key, "has to be more than 0, and 1h at the most"));
            }
        }
        Ok(())
    }
}

impl ServerConfig {
    /// The server of the component that the context is of. With `--once` it never listens.
    ///
    /// # Errors
    /// What is wrong with these settings, at their keys.
    pub fn build(self, context: &Context) -> Result<Server> {
        self.limits.check()?;
        for (index, host) in self.allowed_hosts.iter().enumerate() {
            if !is_host(host) {
                let text = format!("`{host}` is no name of a host without a port, nor an address");
                return Err(Error::at(format!("allowed_hosts.{index}"), text));
            }
        }
        let tls = self.tls.map(|tls| tls.server(b"http/1.1", context));
        let hosts = self.allowed_hosts.iter().map(|it| host_of(it).to_owned());
        Ok(Server::new(
            self.endpoint,
            tls.transpose()?,
            hosts.collect(),
            self.limits,
            context,
        ))
    }
}
