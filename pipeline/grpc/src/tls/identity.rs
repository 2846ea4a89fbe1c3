//! The client's own certificate, and whether it was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// Gives the client's certificate, if there is one, and notes that the peer asked for it.
#[derive(Debug, Default)]
pub(super) struct Identity {
    key: Option<Arc<CertifiedKey>>,
    is_wanted: AtomicBool,
}

impl Identity {
    pub(super) fn new(key: CertifiedKey) -> Identity {
        Identity {
            key: Some(Arc::new(key)),
            is_wanted: AtomicBool::new(false),
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
