//! TLS of a client.

mod handshake;
mod identity;
mod system;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;

use pipeline::{Context, Error, FileReader, Result, Right, Watched, config};
use pipeline_tls::{TlsVersion, certificates, certified_key, read, reload_interval};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use handshake::TlsClient;
use identity::Identity;
pub use system::{no_authorities, system_roots, system_roots_rights};
use verifier::{Unverified, Verifier};

/// TLS settings of a client.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// No TLS.
    pub insecure: bool,
    /// TLS with whoever answers: the server's certificate is not looked at.
    pub insecure_skip_verify: bool,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// PEM file of the authorities to trust, instead of the system's; or of the server's own certificate.
    pub ca_file: Option<PathBuf>,
    /// Whether the system's authorities are trusted beside those of `ca_file`.
    pub include_system_ca_certs_pool: bool,
    /// PEM file of the client's certificate, with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's private key.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate has to carry, instead of the endpoint's host.
    pub server_name_override: Option<String>,
    /// How often the files are looked at beside when inotify tells of a change; 0: never.
    pub reload_interval: config::Duration,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            insecure: false,
            insecure_skip_verify: false,
            min_version: TlsVersion::default(),
            ca_file: None,
            include_system_ca_certs_pool: false,
            cert_file: None,
            key_file: None,
            server_name_override: None,
            reload_interval: reload_interval(),
        }
    }
}

impl Tls {
    /// A client of this host, which is a name or an address (IPv6 in brackets or not); each connection is to have it as it
    /// is then, since the files may change.
    ///
    /// # Errors
    /// A file that cannot be read or is not what it has to be, a certificate without its key or a key without its
    /// certificate, at `tls.<key>`; a host that no certificate can carry, at `endpoint`.
    pub fn client(self, host: &str, context: &Context) -> Result<Arc<Watched<TlsClient>>> {
        let name = self.name(host)?;
        context.watch(self.reload_interval.0, move |files| {
            self.load(name.clone(), files)
        })
    }

    /// What taking up changed files takes beside those files, for [`Context::needs`].
    #[must_use]
    pub fn rights(&self) -> Vec<Right> {
        let trusts_system = self.ca_file.is_none() || self.include_system_ca_certs_pool;
        if self.insecure || !trusts_system {
            return Vec::new();
        }
        system_roots_rights()
    }

    fn load(&self, name: ServerName<'static>, files: &mut FileReader) -> Result<TlsClient> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if self.insecure_skip_verify {
            Arc::new(Unverified(Arc::clone(&provider)))
        } else {
            Arc::new(self.verifier(&provider, files)?)
        };
        let identity = Arc::new(self.identity(&provider, files)?);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.min_version.and_newer())
            .map_err(|error| Error::at("tls.min_version", error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::clone(&identity) as _);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsClient {
            config: Arc::new(config),
            name,
            identity,
            min_version: self.min_version,
        })
    }

    fn name(&self, host: &str) -> Result<ServerName<'static>> {
        let (key, name) = match &self.server_name_override {
            Some(name) => ("tls.server_name_override", name.as_str()),
            None => ("endpoint", host.trim_matches(['[', ']'])),
        };
        ServerName::try_from(name.to_owned())
            .map_err(|_| Error::at(key, format!("no certificate can carry the name `{name}`")))
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>, files: &mut FileReader) -> Result<Verifier> {
        let mut roots = RootCertStore::empty();
        let mut own: Vec<CertificateDer<'static>> = Vec::new();
        if let Some(path) = &self.ca_file {
            own = read("tls.ca_file", path, files, certificates)?;
            for certificate in &own {
                roots.add(certificate.clone()).map_err(|error| {
                    let path = path.display();
                    let text = format!("{path} has a certificate that cannot be read: {error}");
                    Error::at("tls.ca_file", text)
                })?;
            }
        }
        if self.ca_file.is_none() || self.include_system_ca_certs_pool {
            roots.roots.extend(system_roots().roots);
        }
        if roots.is_empty() {
            return Err(Error::at("tls", no_authorities("ca_file")));
        }
        let trusted = match (&self.ca_file, self.include_system_ca_certs_pool) {
            (None, _) => "the system's authorities",
            (Some(_), false) => "those of `tls.ca_file`",
            (Some(_), true) => "the system's authorities and those of `tls.ca_file`",
        };
        let provider = Arc::clone(provider);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| Error::at("tls", error))?;
        Ok(Verifier {
            webpki,
            own,
            trusted,
        })
    }

    fn identity(&self, provider: &CryptoProvider, files: &mut FileReader) -> Result<Identity> {
        match (&self.cert_file, &self.key_file) {
            (None, None) => Ok(Identity::default()),
            (Some(cert_file), Some(key_file)) => {
                let key = certified_key(cert_file, key_file, provider, files)?;
                Ok(Identity::new(key))
            }
            (Some(_), None) => Err(Error::at("tls.cert_file", "`cert_file` needs `key_file`")),
            (None, Some(_)) => Err(Error::at("tls.key_file", "`key_file` needs `cert_file`")),
        }
    }
}
