//! TLS of a server.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline::{Context, Error, Result};
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
}

impl ServerTls {
    /// A server that speaks these protocols by ALPN.
    ///
    /// # Errors
    /// A file that cannot be read or is not what it has to be, at `tls.<key>`.
    pub fn server(&self, protocols: &[&[u8]], context: &Context) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let key = certified_key(&self.cert_file, &self.key_file, &provider, context)?;
        let clients = self.clients(&provider, context)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.min_version.and_newer())
            .map_err(|error| Error::at("tls.min_version", error))?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn clients(
        &self,
        provider: &Arc<CryptoProvider>,
        context: &Context,
    ) -> Result<Arc<dyn ClientCertVerifier>> {
        const KEY: &str = "tls.client_ca_file";
        let Some(path) = &self.client_ca_file else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let mut roots = RootCertStore::empty();
        for certificate in read(KEY, path, context, certificates)? {
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
