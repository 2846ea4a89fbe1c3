//! A certificate with its key.

use std::path::Path;

use pipeline::{Error, FileReader, Result};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};

use crate::files::{certificates, private_key, read};

/// The certificates of one file with the key of another one.
///
/// # Errors
/// A file that cannot be read or is not what it has to be, or a key of another certificate, at `tls.<key>`.
pub fn certified_key(
    cert_file: &Path,
    key_file: &Path,
    provider: &CryptoProvider,
    files: &mut FileReader,
) -> Result<CertifiedKey> {
    let chain = read("tls.cert_file", cert_file, files, certificates)?;
    let key = read("tls.key_file", key_file, files, private_key)?;
    joined(chain, key, provider).map_err(|why| {
        let text = format!("{} {why}", key_file.display());
        Error::at("tls.key_file", text)
    })
}

/// The error is told behind the key's file.
fn joined(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        format!("is no key that can be used (RSA from 2,048 bits on, ECDSA on P-256 or P-384, Ed25519): {error}")
    })?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(key),
        Err(TlsError::InconsistentKeys(_)) => {
            Err("is not the key of the first certificate in `cert_file`".into())
        }
        Err(error) => Err(format!(
            "has a certificate in `cert_file` that cannot be used: {error}"
        )),
    }
}
