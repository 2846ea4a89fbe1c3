//! The system's authorities.

use std::env;

use rustls::RootCertStore;

/// The variables that name others in their place, as OpenSSL has them.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Those whose certificates can be read; none where there are none: see [`no_authorities`].
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// What is said where the system has none: where they were looked for, and the mend. `option` names the file to trust instead.
#[must_use]
pub fn no_authorities(option: &str) -> String {
    let set = VARIABLES.map(|name| env::var_os(name).map(|value| (name, value)));
    let set = set.into_iter().flatten();
    let set: Vec<String> = set
        .map(|(name, value)| format!("{name}={}", value.display()))
        .collect();
    let place = if set.is_empty() {
        "/etc/ssl or /etc/pki".to_owned()
    } else {
        set.join(", ")
    };
    format!(
        "there are no certificates of authorities in {place}: install the system's package `ca-certificates`, name a file of them by SSL_CERT_FILE, or set `{option}`"
    )
}
