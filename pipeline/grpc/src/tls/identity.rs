//! The client's own certificate, and whether it was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};

/// Gives the client's certificate, if there is one, and notes that the peer asked for it.
#[derive(Debug, Default)]
pub(super) struct Identity {
    key: Option<Arc<CertifiedKey>>,
    is_wanted: AtomicBool,
}

impl Identity {
    /// The error is told behind the key's file.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Identity, String> {
        let key = provider.key_provider.load_private_key(key).map_err(|error| {
            format!("is no key that can be used (RSA from 2,048 bits on, ECDSA on P-256 or P-384, Ed25519): {error}")
        })?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Identity {
                key: Some(Arc::new(key)),
                is_wanted: AtomicBool::new(false),
            }),
            Err(Error::InconsistentKeys(_)) => {
                Err("is not the key of the first certificate in `cert_file`".into())
            }
            Err(error) => Err(format!(
                "has a certificate in `cert_file` that cannot be used: {error}"
            )),
        }
    }

    pub(super) fn is_given(&self) -> bool {
        self.key.is_some()
    }

    /// Whether the peer asked for it since the last [`Identity::forget`].
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_wanted.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.is_given()
    }
}
