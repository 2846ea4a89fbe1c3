//! PEM files, and what people have in their place. Errors are told behind a file's path.

use std::path::Path;

use pipeline::{Error, FileReader, Result};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What `parse` makes of a file that the key of the configuration names.
///
/// # Errors
/// A file that cannot be read, or what `parse` says of it behind its path, at the key.
pub fn read<T>(
    key: &str,
    path: &Path,
    files: &mut FileReader,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T> {
    let bytes = files.read(path).map_err(|error| Error::at(key, error))?;
    parse(&bytes).map_err(|why| Error::at(key, format!("{} {why}", path.display())))
}

/// All certificates of a file, in their order; one at least.
///
/// # Errors
/// What is there instead, for the user.
pub fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(lacks(bytes, "certificate")),
        Err(error) => Err(format!("is broken PEM: {error}")),
    }
}

/// The private key of a file.
///
/// # Errors
/// What is there instead, for the user.
pub fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let is_encrypted = |line: &[u8]| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    };
    if bytes.split(|it| *it == b'\n').any(is_encrypted) {
        return Err("is encrypted, and nobody is there to type its passphrase: `openssl pkey -in FILE -out NEW` takes it off".into());
    }
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => Err(lacks(bytes, "private key")),
        Err(error) => Err(format!("is broken PEM: {error}")),
    }
}

/// What is there instead of what is looked for.
fn lacks(bytes: &[u8], wanted: &str) -> String {
    if bytes.trim_ascii().is_empty() {
        return format!("has no {wanted}: it is empty");
    }
    // DER is a SEQUENCE, whose length takes two bytes in all that is meant here.
    if bytes.starts_with(&[0x30, 0x82]) || bytes.starts_with(&[0x30, 0x81]) {
        return format!(
            "has no {wanted} in PEM: it looks like DER, which `openssl x509 -inform der` (of a key `openssl pkey -inform der`) makes PEM of"
        );
    }
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes);
    let kinds: Vec<SectionKind> = sections.map_while(Result::ok).map(|it| it.0).collect();
    let is_key = |kind: &SectionKind| {
        let keys = [
            SectionKind::PrivateKey,
            SectionKind::RsaPrivateKey,
            SectionKind::EcPrivateKey,
        ];
        keys.contains(kind)
    };
    if kinds.iter().any(is_key) {
        format!("has no {wanted}, but a private key: is it the file of another option?")
    } else if kinds.contains(&SectionKind::Certificate) {
        format!("has no {wanted}, but a certificate: is it the file of another option?")
    } else {
        format!("has no {wanted} in PEM")
    }
}
