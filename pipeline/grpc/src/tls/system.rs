//! The system's authorities.

use std::env;
use std::path::PathBuf;

use pipeline::Right;
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

/// Where systems have them, and what is linked from there
/// ([openssl-probe](https://docs.rs/openssl-probe) looks at more that are none of Linux' own).
const DIRECTORIES: [&str; 9] = [
    "/etc/ssl/certs",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/certs",
    "/usr/share/ca-certificates",
    "/usr/share/pki",
    "/usr/local/share/ca-certificates",
    "/usr/local/ssl",
    "/var/lib/ca-certificates",
];

/// Files of them that may lead elsewhere.
const FILES: [&str; 3] = [
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/ca-bundle.crt",
];

/// What reading them anew takes, for [`pipeline::Context::needs`].
#[must_use]
pub fn system_roots_rights() -> Vec<Right> {
    let named = VARIABLES.iter().filter_map(env::var_os);
    let named = named.flat_map(|it| env::split_paths(&it).collect::<Vec<_>>());
    let usual = DIRECTORIES.iter().chain(&FILES).map(PathBuf::from);
    let usual = usual.filter(|it| it.exists());
    named.chain(usual).map(Right::Read).collect()
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
