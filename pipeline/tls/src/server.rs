//! TLS of a server.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline::{Context, Error, FileReader, RELOAD_INTERVAL, Result, Watched, config};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{TlsVersion, certificates, certified_key, read};

/// TLS settings of a server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// PEM file of the server's certificate, with those of intermediate authorities behind it.
    pub cert_file: PathBuf,
    /// PEM file of the server's private key.
    pub key_file: PathBuf,
    /// PEM file of the authorities whose clients may connect; without it every client may.
    pub client_ca_file: Option<PathBuf>,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// How often the files are looked at beside when inotify tells of a change; 0: never.
    #[serde(default = "reload_interval")]
    pub reload_interval: config::Duration,
}

/// [`RELOAD_INTERVAL`], as a configuration has it.
#[must_use]
pub fn reload_interval() -> config::Duration {
    config::Duration(RELOAD_INTERVAL)
}

impl ServerTls {
    /// A server that speaks this protocol by ALPN; each connection is to have it as it is then, since the files may change.
    ///
    /// # Errors
    /// A file that cannot be read or is not what it has to be, at `tls.<key>`.
    pub fn server(
        self,
        protocol: &'static [u8],
        context: &Context,
    ) -> Result<Arc<Watched<ServerConfig>>> {
        context.watch(self.reload_interval.0, move |files| {
            self.load(protocol, files)
        })
    }

    fn load(&self, protocol: &[u8], files: &mut FileReader) -> Result<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let key = certified_key(&self.cert_file, &self.key_file, &provider, files)?;
        let clients = self.clients(&provider, files)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.min_version.and_newer())
            .map_err(|error| Error::at("tls.min_version", error))?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    fn clients(
        &self,
        provider: &Arc<CryptoProvider>,
        files: &mut FileReader,
    ) -> Result<Arc<dyn ClientCertVerifier>> {
        const KEY: &str = "tls.client_ca_file";
        let Some(path) = &self.client_ca_file else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let mut roots = RootCertStore::empty();
        for certificate in read(KEY, path, files, certificates)? {
            roots.add(certificate).map_err(|error| {
                let path = path.display();
                let text = format!("{path} has a certificate that cannot be read: {error}");
                Error::at(KEY, text)
            })?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| Error::at(KEY, error))
    }
}
