//! What the user writes: the Collector's `endpoint` and `path`
//! ([health_check](https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/extension/healthcheckextension)),
//! and what is ours.

use pipeline::config::Duration;
use pipeline::{Error, Result};
use pipeline_http::{Endpoint, Limits, ServerConfig, ServerTls};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of a `health_check` extension.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens: `host:port` or `unix:/path`.
    pub endpoint: Endpoint,
    /// Where it answers, beside `/livez`, whether the program is alive.
    pub path: String,
    /// An exporter that has failed for longer makes the program unready.
    pub stale_after: Duration,
    /// TLS; plain text without it.
    pub tls: Option<ServerTls>,
    /// Names and addresses that it may be asked by, beside those of loopback.
    pub allowed_hosts: Vec<String>,
    /// What it takes at the most.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            endpoint: "127.0.0.1:13133".parse().expect("an endpoint"),
            path: "/".into(),
            stale_after: Duration::from_secs(60),
            tls: None,
            allowed_hosts: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// The path, if it can be one.
    pub(crate) fn checked_path(&self) -> Result<&str> {
        let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        let path = &*self.path;
        if !path.starts_with('/') || !path.chars().all(is_of_path) {
            let text =
                format!("`{path}` is no path: `/`, and then letters, digits and any of `/-._~`");
            return Err(Error::at("path", text));
        }
        if path == crate::READY {
            let text = format!("`{path}` tells whether the program is ready: choose another path");
            return Err(Error::at("path", text));
        }
        Ok(path)
    }

    /// The settings of the server.
    pub(crate) fn server(self) -> ServerConfig {
        ServerConfig {
            endpoint: self.endpoint,
            tls: self.tls,
            allowed_hosts: self.allowed_hosts,
            limits: self.limits,
        }
    }
}
