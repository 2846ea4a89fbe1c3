//! TLS to an upstream, with the right certificates and with wrong ones.

use std::net::Ipv4Addr;

use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::common::alone::{CPU, alone};
use crate::common::peer::{Peer, assert_accounted, net_receiver, otlp_config};
use crate::common::{free_address, run, text};

/// Certificates of an authority made for the test.
struct Authority(rcgen::Issuer<'static, rcgen::KeyPair>, String);

impl Authority {
    fn new(name: &str) -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Authority(rcgen::Issuer::new(parameters, key), pem)
    }

    /// Certificate and key for a name; one that has expired long ago, or not.
    fn issue(&self, name: &str, expired: bool) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        (
            parameters.signed_by(&key, &self.0).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

#[test]
fn tls_takes_whom_it_should_and_says_in_one_line_why_not() {
    // It counts on a handshake within 500 ms.
    let _cpu = alone(&CPU);
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (ca, other_ca) = (write("ca.pem", &ours.1), write("other.pem", &other.1));
    let (cert, key) = ours.issue("client", false);
    let (cert, key) = (write("cert.pem", &cert), write("key.pem", &key));
    let client = format!("cert_file: {cert}, key_file: {key}");
    let good = format!("tls: {{ca_file: {ca}, {client}}}");
    // Server's name, expired or not; the exporter's settings; the error where it does not work.
    let cases = [
        ("localhost", false, good.clone(), None),
        (
            "another",
            false,
            format!("tls: {{ca_file: {ca}, {client}, server_name_override: another}}"),
            None,
        ),
        (
            "localhost",
            false,
            format!("tls: {{ca_file: {other_ca}, {client}}}"),
            Some("UnknownIssuer"),
        ),
        ("localhost", true, good.clone(), Some("xpired")),
        ("another", false, good.clone(), Some("not valid for name")),
        (
            "localhost",
            false,
            format!("tls: {{ca_file: {ca}}}"),
            Some(""),
        ),
        (
            "localhost",
            false,
            "tls: {insecure: true}".into(),
            Some("transport error"),
        ),
    ];
    for (name, expired, settings, error) in cases {
        let peer = Peer::default();
        let (cert, key) = ours.issue(name, expired);
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(cert, key))
            .client_ca_root(Certificate::from_pem(&ours.1));
        let server = peer.serve((Ipv4Addr::LOCALHOST, 0).into(), Some(tls), true);
        let endpoint = format!("localhost:{}", server.address.port());
        // Where it works, it may take its time on a busy machine.
        let patience = if error.is_some() { "500ms" } else { "1m" };
        let timeout = format!("service:\n  shutdown_timeout: {patience}\n");
        let config =
            otlp_config(&net_receiver(), &endpoint, &settings).replace("service:\n", &timeout);
        let output = run(&config, &["--once"]);
        drop(server);
        let stderr = text(&output.stderr);
        assert_eq!(
            output.status.success(),
            error.is_none(),
            "{name} {settings}: {stderr}"
        );
        if let Some(error) = error {
            let lines: Vec<_> = stderr
                .lines()
                .filter(|line| line.contains("sending fails"))
                .collect();
            assert!(
                lines.len() == 1 && lines[0].contains(error),
                "{name} {settings}: {stderr}"
            );
        }
        assert_accounted(&stderr);
    }
    // Plain text against nobody's TLS: the other way round.
    let (peer, address) = (Peer::default(), free_address());
    let _server = peer.serve(address, None, true);
    let config = otlp_config(&net_receiver(), &address.to_string(), &good)
        .replace("service:\n", "service:\n  shutdown_timeout: 500ms\n");
    let stderr = text(&run(&config, &["--once"]).stderr);
    assert_eq!(
        stderr.matches("does the peer speak plain text").count(),
        1,
        "{stderr}"
    );
}
