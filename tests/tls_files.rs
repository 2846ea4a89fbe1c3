//! The files of `tls`: what is wrong with one is said by `validate`, at its place.

use std::process::Command;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::common::authority::{Authority, Files};
use crate::common::peer::{net_receiver, otlp_config};
use crate::common::{BINARY, run, spawn, text};

/// What `validate` says of these settings of `tls`; `None` if nothing.
fn mistake(settings: &str) -> Option<String> {
    let tls = format!("tls: {{{settings}}}");
    let config = otlp_config(&net_receiver(), "localhost:1", &tls);
    let output = run(&config, &["validate"]);
    (!output.status.success()).then(|| text(&output.stderr))
}

fn assert_mistake(settings: &str, key: &str, expected: &str) {
    let said = mistake(settings).expect(settings);
    assert!(said.contains(expected), "{settings}: {said}");
    let place = format!("at exporters.otlp.tls.{key}");
    assert!(said.contains(&place), "{settings}: {said}");
}

#[test]
fn a_ca_file_without_a_certificate_is_refused() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let der = CertificateDer::from_pem_slice(ours.pem.as_bytes()).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let cut_off = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (content, expected) in [
        (&b"\n"[..], "ca.pem has no certificate: it is empty"),
        (&der, "ca.pem has no certificate in PEM: it looks like DER"),
        (
            ours.key.as_bytes(),
            "ca.pem has no certificate, but a private key",
        ),
        (b"my certificate", "ca.pem has no certificate in PEM"),
        (broken.as_bytes(), "ca.pem is broken PEM: "),
        (cut_off.as_bytes(), "ca.pem is broken PEM: "),
        (
            none.as_bytes(),
            "ca.pem has a certificate that cannot be read: ",
        ),
    ] {
        let settings = format!("ca_file: {}", files.write("ca.pem", content));
        assert_mistake(&settings, "ca_file", expected);
    }
}

#[test]
fn a_key_that_cannot_be_used_or_belongs_to_another_certificate_is_refused() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (certificate, key) = ours.issue("client", false);
    let files = Files::new();
    let cert_file = files.write("client.pem", &certificate);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted_of_old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let none = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (content, expected) in [
        (
            encrypted,
            "client.key is encrypted, and nobody is there to type its passphrase",
        ),
        (encrypted_of_old, "client.key is encrypted"),
        (
            &other.key,
            "client.key is not the key of the first certificate in `cert_file`",
        ),
        (
            &certificate,
            "client.key has no private key, but a certificate",
        ),
        (none, "client.key is no key that can be used"),
        ("", "client.key has no private key: it is empty"),
    ] {
        let key_file = files.write("client.key", content);
        let settings = format!("cert_file: {cert_file}, key_file: {key_file}");
        assert_mistake(&settings, "key_file", expected);
    }
    let key_file = files.write("client.key", &key);
    assert_mistake(
        &format!("cert_file: {key_file}, key_file: {key_file}"),
        "cert_file",
        "client.key has no certificate, but a private key",
    );
    let good = format!("cert_file: {cert_file}, key_file: {key_file}");
    assert_eq!(mistake(&good), None);
}

#[test]
fn a_name_or_a_version_that_cannot_be_is_refused() {
    assert_mistake(
        "server_name_override: 'a b'",
        "server_name_override",
        "no certificate can carry the name `a b`",
    );
    assert_mistake("min_version: '1.1'", "min_version", "`1.1`");
    assert_mistake("min_version: 1.1", "min_version", "one of `1.2`, `1.3`");
    // A number to YAML, without quotes.
    for version in ["'1.2'", "'1.3'", "1.2", "1.3"] {
        assert_eq!(mistake(&format!("min_version: {version}")), None);
    }
}

#[test]
fn where_the_system_has_no_authorities_it_is_said_where_they_were_looked_for() {
    let files = Files::new();
    let empty = files.write("none.pem", "");
    let gcp = format!(
        "receivers: {{statsfs: {}}}\nexporters: {{gcp: {{project: p}}}}\n\
         service: {{pipelines: {{metrics: {{receivers: [statsfs], exporters: [gcp]}}}}}}\n",
        net_receiver()
    );
    for (config, option) in [
        (otlp_config(&net_receiver(), "localhost:1", ""), "ca_file"),
        (gcp, "metric.ca_file"),
    ] {
        let mut command = Command::new(BINARY);
        command.args(["validate", "--config", "-"]);
        command
            .env_remove("SSL_CERT_DIR")
            .env("SSL_CERT_FILE", &empty);
        let output = spawn(command, &config).wait_with_output().unwrap();
        let said = text(&output.stderr);
        let expected = format!(
            "error: there are no certificates of authorities in SSL_CERT_FILE={empty}: install the system's package `ca-certificates`, name a file of them by SSL_CERT_FILE, or set `{option}`\n"
        );
        assert!(said.starts_with(&expected), "{said}");
    }
}
