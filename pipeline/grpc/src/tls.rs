//! TLS of a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pipeline::{Context, Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// TLS settings of a client.
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

impl Tls {
    /// What tonic makes of it; a handshake takes `timeout` at the most.
    ///
    /// # Errors
    /// A file that cannot be read, a certificate without its key or a key without its certificate, at `tls.<key>`.
    pub fn client_config(&self, timeout: Duration, context: &Context) -> Result<ClientTlsConfig> {
        let read = |key: &str, path: &Path| {
            context
                .read(path)
                .map_err(|error| Error::at(format!("tls.{key}"), error))
        };
        let mut config = match &self.ca_file {
            Some(path) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca_file", path)?))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        }
        .timeout(timeout);
        if let Some(name) = &self.server_name_override {
            config = config.domain_name(name);
        }
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                config = config.identity(Identity::from_pem(
                    read("cert_file", cert)?,
                    read("key_file", key)?,
                ));
            }
            (None, None) => {}
            (Some(_), None) => {
                return Err(Error::at("tls.cert_file", "`cert_file` needs `key_file`"));
            }
            (None, Some(_)) => {
                return Err(Error::at("tls.key_file", "`key_file` needs `cert_file`"));
            }
        }
        Ok(config)
    }
}
