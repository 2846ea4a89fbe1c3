//! TLS to an upstream, with the right certificates and with wrong ones: it works, or one line says why not and what to do.

use std::io::{BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;

use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::common::authority::{Authority, Files, self_signed};
use crate::common::peer::{Peer, assert_accounted, net_receiver, otlp_config};
use crate::common::{BINARY, collector, lines_until, run, spawn, text};

/// What the line "sending fails …" says behind that; what the exporter would send is dropped then.
fn why_sending_fails(endpoint: &str, settings: &str) -> String {
    let config = otlp_config(&net_receiver(), endpoint, settings);
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let lines = lines_until(&mut stderr, |line| line.contains("sending fails"));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.last().unwrap().clone()
}

/// A peer with this server's side of TLS and one who sends to it: all points arrive, or this is said.
fn assert_says(server: Option<ServerTlsConfig>, settings: &str, error: Option<&str>) {
    let peer = Peer::default();
    let server = peer.serve((Ipv4Addr::LOCALHOST, 0).into(), server, true);
    let endpoint = format!("localhost:{}", server.address.port());
    let Some(error) = error else {
        let output = run(
            &otlp_config(&net_receiver(), &endpoint, settings),
            &["--once"],
        );
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{settings}: {stderr}");
        assert_accounted(&stderr);
        return;
    };
    let line = why_sending_fails(&endpoint, settings);
    let scheme = if settings.contains("insecure: true") {
        "http"
    } else {
        "https"
    };
    let destination = format!("OTLP Export to {scheme}://{endpoint}: Unavailable: ");
    assert!(
        line.contains(&destination) && line.contains(error),
        "{settings}: {line}, and not {error}"
    );
}

#[test]
fn the_right_authority_name_and_date_are_taken_and_others_named() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (remade, between) = (Authority::new("ours"), ours.intermediate("between"));
    let files = Files::new();
    let ca = files.write("ca.pem", &ours.pem);
    let good = format!("tls: {{ca_file: {ca}}}");
    assert_says(Some(ours.server("localhost")), &good, None);
    let named = format!("tls: {{ca_file: {ca}, server_name_override: another}}");
    assert_says(Some(ours.server("another")), &named, None);
    assert_says(
        Some(ours.server("another")),
        &good,
        Some(
            "the peer's certificate is for `another`, not for `localhost`: put such a name into `endpoint`, or into `tls.server_name_override`",
        ),
    );
    let (expired, key) = ours.issue("localhost", true);
    assert_says(
        Some(ServerTlsConfig::new().identity(Identity::from_pem(expired, key))),
        &good,
        Some(
            "the peer's certificate has expired, it was valid until 2001-01-01: it needs a new one",
        ),
    );
    assert_says(
        Some(other.server("localhost")),
        &good,
        Some(
            "is issued by `CN=other`, which is not among those of `tls.ca_file`: `tls.ca_file` needs that authority's certificate, or the peer has to send that of an intermediate one along",
        ),
    );
    assert_says(
        Some(remade.server("localhost")),
        &good,
        Some(
            "is not signed by the authority of that name (`CN=ours`) among those of `tls.ca_file`",
        ),
    );
    assert_says(
        Some(between.server("localhost")),
        &good,
        Some("is issued by `CN=between`, which is not among"),
    );
    let (certificate, key) = between.issue("localhost", false);
    let chain = [certificate, between.pem.clone()].concat();
    let whole = ServerTlsConfig::new().identity(Identity::from_pem(chain, key));
    assert_says(Some(whole), &good, None);
}

#[test]
fn a_certificate_that_signs_itself_is_taken_as_ca_file_and_its_name_and_date_are_checked() {
    let files = Files::new();
    let other = files.write("other.pem", &Authority::new("other").pem);
    for is_authority in [true, false] {
        let settings =
            |of: &Authority| format!("tls: {{ca_file: {}}}", files.write("self.pem", &of.pem));
        let own = self_signed("localhost", is_authority, false);
        assert_says(Some(own.as_server()), &settings(&own), None);
        assert_says(
            Some(own.as_server()),
            &format!("tls: {{ca_file: {other}}}"),
            Some(
                "the peer's certificate is self-signed (by `CN=myself`), and not among those of `tls.ca_file`: to trust this very certificate, make it the `tls.ca_file`",
            ),
        );
        let another = self_signed("another", is_authority, false);
        assert_says(
            Some(another.as_server()),
            &settings(&another),
            Some("the peer's certificate is for `another`, not for `localhost`"),
        );
        let expired = self_signed("localhost", is_authority, true);
        assert_says(
            Some(expired.as_server()),
            &settings(&expired),
            Some("has expired, it was valid until 2001-01-01"),
        );
    }
}

#[test]
fn a_certificate_of_the_client_is_given_to_who_wants_it() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::new();
    let ca = files.write("ca.pem", &ours.pem);
    let client = |of: &Authority, name: &str| {
        let (certificate, key) = of.issue("client", false);
        let certificate = files.write(&format!("{name}.pem"), certificate);
        let key = files.write(&format!("{name}.key"), key);
        format!("tls: {{ca_file: {ca}, cert_file: {certificate}, key_file: {key}}}")
    };
    let server = || {
        let server = ours.server("localhost");
        Some(server.client_ca_root(Certificate::from_pem(&ours.pem)))
    };
    assert_says(server(), &client(&ours, "ours"), None);
    assert_says(
        server(),
        &format!("tls: {{ca_file: {ca}}}"),
        Some(
            "the peer wants a certificate of the client: it takes `tls.cert_file` and `tls.key_file`",
        ),
    );
    assert_says(
        server(),
        &client(&other, "other"),
        Some("the peer refuses the client's certificate, which is in `tls.cert_file`: "),
    );
}

#[test]
fn plain_text_and_tls_are_told_apart() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let good = format!("tls: {{ca_file: {}}}", files.write("ca.pem", &ours.pem));
    assert_says(
        Some(ours.server("localhost")),
        "tls: {insecure: true}",
        Some("the peer speaks TLS, and not plain text: take out `tls.insecure: true`"),
    );
    assert_says(
        None,
        &good,
        Some("the peer speaks plain text, and not TLS: it takes `tls.insecure: true`"),
    );
}

#[test]
fn whoever_answers_is_taken_with_insecure_skip_verify_which_is_warned_of_once() {
    let peer = Peer::default();
    let tls = self_signed("another", true, true).as_server();
    let server = peer.serve((Ipv4Addr::LOCALHOST, 0).into(), Some(tls), true);
    let endpoint = format!("localhost:{}", server.address.port());
    let settings = "tls: {insecure_skip_verify: true}";
    let output = run(
        &otlp_config(&net_receiver(), &endpoint, settings),
        &["--once"],
    );
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let warned = stderr.matches("the peer's certificate is not looked at");
    assert_eq!(warned.count(), 1, "{stderr}");
}

#[test]
fn the_systems_authorities_are_trusted_beside_ca_file_where_that_is_said() {
    let (system, other) = (Authority::new("system"), Authority::new("other"));
    let files = Files::new();
    let pool = files.write("pool.pem", &system.pem);
    let ca = files.write("ca.pem", &other.pem);
    for (settings, is_sent) in [
        (
            format!("ca_file: {ca}, include_system_ca_certs_pool: true"),
            true,
        ),
        (format!("ca_file: {ca}"), false),
        (String::new(), true),
    ] {
        let peer = Peer::default();
        let tls = system.server("localhost");
        let server = peer.serve((Ipv4Addr::LOCALHOST, 0).into(), Some(tls), true);
        let endpoint = format!("localhost:{}", server.address.port());
        let config = otlp_config(&net_receiver(), &endpoint, &format!("tls: {{{settings}}}"));
        let config = config.replace("max_elapsed_time: 1m", "max_elapsed_time: 50ms");
        let mut command = Command::new(BINARY);
        command.args(["--once", "--config", "-"]);
        // What it reads in the place of the system's.
        command
            .env("SSL_CERT_FILE", &pool)
            .env_remove("SSL_CERT_DIR");
        let output = spawn(command, &config).wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.success(), is_sent, "{settings}: {stderr}");
        assert_eq!(stderr.contains("CN=system"), !is_sent, "{stderr}");
    }
}

/// A server that makes a handshake of this version, with HTTP/2 in it or not, and then listens.
fn tls_server(
    of: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
    has_http2: bool,
) -> String {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let (certificate, key) = of.issue("localhost", false);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    if has_http2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            // Until the client goes, or the handshake fails.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    format!("localhost:{port}")
}

#[test]
fn a_version_of_tls_that_is_too_old_is_not_spoken() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let ca = files.write("ca.pem", &ours.pem);
    let newest = format!("tls: {{ca_file: {ca}, min_version: '1.3'}}");
    assert_says(Some(ours.server("localhost")), &newest, None);
    let old = tls_server(&ours, &rustls::version::TLS12, true);
    let line = why_sending_fails(&old, &newest);
    let expected =
        "the peer speaks no TLS of version 1.3 or newer, which is the least by `tls.min_version`";
    assert!(line.contains(expected), "{line}");
}

#[test]
fn a_peer_without_http2_in_its_tls_is_named_as_one() {
    let ours = Authority::new("ours");
    let files = Files::new();
    let settings = format!("tls: {{ca_file: {}}}", files.write("ca.pem", &ours.pem));
    let server = tls_server(&ours, &rustls::version::TLS13, false);
    let line = why_sending_fails(&server, &settings);
    let expected = "the peer speaks TLS, but no HTTP/2 in it";
    assert!(line.contains(expected), "{line}");
}
