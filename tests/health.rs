//! `health_check` and `health` on the real binary: what an orchestrator sees.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output};
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::authority::{Authority, Files};
use crate::common::peer::{INSECURE, Peer, net_receiver, otlp_config};
use crate::common::{
    BINARY, assert_runs, collector, config, end, ended, free_address, lines_until, run, signal,
    spawn, text,
};

/// The same configuration with this health check.
fn with_health_check(config: &str, health_check: &str) -> String {
    format!(
        "extensions: {{health_check: {{{health_check}}}}}\n{}",
        config.replace("service:\n", "service:\n  extensions: [health_check]\n")
    )
}

fn small(health_check: &str) -> String {
    with_health_check(&config(&net_receiver(), "batch: {}", "{}"), health_check)
}

fn health(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("health").args(arguments);
    spawn(command, "").wait_with_output().unwrap()
}

/// Asks until the answer is this one, while the program runs.
fn health_until(
    child: &mut Child,
    endpoint: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Option<i32> {
    loop {
        assert_runs(child);
        let output = health(&["--endpoint", endpoint]);
        if is_wanted(&text(&output.stdout)) {
            return output.status.code();
        }
    }
}

#[test]
fn it_turns_when_the_peer_is_away_for_long_and_back_with_the_first_success_and_is_alive_all_the_while()
 {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("unix:{}", folder.path().join("health.sock").display());
    let address = free_address();
    let receiver = net_receiver().replace('}', ", collection_interval: 50ms}");
    let config = otlp_config(&receiver, &address.to_string(), INSECURE);
    let settings = format!("endpoint: '{endpoint}', stale_after: 200ms");
    let mut child = collector(&with_health_check(&config, &settings), &[]);
    let is_away =
        |said: &str| said.starts_with("not ready\nexporter:otlp: ") && said.contains("(since ");
    assert_eq!(health_until(&mut child, &endpoint, is_away), Some(1));
    let alive = health(&["--live", "--endpoint", &endpoint]);
    assert_eq!(text(&alive.stdout), "alive\n");
    assert_eq!(alive.status.code(), Some(0));
    let peer = Peer::default();
    let serving = peer.serve(address, None, true);
    assert_eq!(
        health_until(&mut child, &endpoint, |said| said == "ready\n"),
        Some(0)
    );
    drop(serving);
    assert_eq!(health_until(&mut child, &endpoint, is_away), Some(1));
    let _serving = peer.serve(address, None, true);
    assert_eq!(
        health_until(&mut child, &endpoint, |said| said == "ready\n"),
        Some(0)
    );
    end(child);
    let gone = health(&["--endpoint", &endpoint]);
    assert_eq!(gone.status.code(), Some(1));
    let said = text(&gone.stdout);
    assert!(
        said.starts_with(&format!("not ready\n{endpoint}: ")),
        "{said}"
    );
}

#[test]
fn while_what_is_left_is_drained_it_is_alive_and_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("unix:{}", folder.path().join("health.sock").display());
    let address = free_address();
    let config = otlp_config(&net_receiver(), &address.to_string(), INSECURE);
    let config = config.replace("service:\n", "service:\n  shutdown_timeout: 1m\n");
    let settings = format!("endpoint: '{endpoint}', stale_after: 1ms");
    let mut child = collector(&with_health_check(&config, &settings), &[]);
    let is_away = |said: &str| said.contains("exporter:otlp: ");
    assert_eq!(health_until(&mut child, &endpoint, is_away), Some(1));
    signal(&child, Signal::TERM);
    let is_ending = |said: &str| said.contains("\nStatusStopping (since ");
    assert_eq!(health_until(&mut child, &endpoint, is_ending), Some(1));
    let alive = health(&["--live", "--endpoint", &endpoint]);
    assert_eq!(text(&alive.stdout), "alive\n");
    let _serving = Peer::default().serve(address, None, true);
    ended(child);
}

/// What an HTTP server answers to a `GET` for this host.
fn ask(mut stream: impl Read + Write, path: &str, host: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A connection that is cut ends the answer too.
    let _ = stream.read_to_end(&mut answer);
    text(&answer)
}

#[test]
fn a_line_at_the_start_names_the_address_and_the_port_that_the_kernel_chose() {
    let mut child = collector(&small("endpoint: '127.0.0.1:0', path: /health"), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let lines = lines_until(&mut stderr, |line| line.contains(" listening "));
    let line = lines.last().unwrap();
    let address = line.split("address=\"").nth(1).unwrap();
    let address = address.split('"').next().unwrap();
    assert!(line.contains("component=\"health_check\""), "{line}");
    let answer = ask(TcpStream::connect(address).unwrap(), "/health", "localhost");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("{\"status\":\"Server available\",\"upSince\":\""));
    let answer = ask(TcpStream::connect(address).unwrap(), "/", "evil.example");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    child.stderr = Some(stderr.into_inner());
    end(child);
}

#[test]
fn a_port_that_is_taken_names_who_has_it_and_for_one_sweep_nothing_listens() {
    let address = free_address();
    let _taken = TcpListener::bind(address).unwrap();
    let config = small(&format!("endpoint: '{address}'"));
    let output = run(&config, &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let why = format!("health_check: cannot listen on {address}: the port is taken by `collector-");
    let pid = format!("(pid {})", std::process::id());
    assert!(stderr.contains(&why) && stderr.contains(&pid), "{stderr}");
    let output = run(&config, &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("listening"), "{stderr}");
    assert!(run(&config, &["validate"]).status.success());
}

/// A client of TLS that trusts this authority, with this identity.
fn client(ours: &Authority, identity: Option<&(String, String)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ours.pem.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((pem, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

#[test]
fn with_tls_only_clients_of_the_authority_are_answered() {
    let ours = Authority::new("ours");
    let (files, (pem, key)) = (Files::new(), ours.issue("localhost", false));
    let settings = format!(
        "endpoint: '127.0.0.1:0', tls: {{cert_file: {}, key_file: {}, client_ca_file: {}, min_version: '1.3'}}",
        files.write("server.pem", &pem),
        files.write("server.key", &key),
        files.write("clients.pem", &ours.pem),
    );
    let mut child = collector(&small(&settings), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let lines = lines_until(&mut stderr, |line| line.contains(" listening "));
    let address = lines.last().unwrap().split("address=\"").nth(1).unwrap();
    let address = address.split('"').next().unwrap().to_owned();
    let answer = |identity: Option<&(String, String)>| {
        let config = Arc::new(client(&ours, identity));
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(config, name).unwrap();
        let stream = TcpStream::connect(&address).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        // The handshake may fail here already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        text(&answer)
    };
    let client = ours.issue("client", false);
    assert!(answer(Some(&client)).starts_with("HTTP/1.1 200 OK"));
    assert_eq!(answer(None), "");
    let stranger = Authority::new("other").issue("client", false);
    assert_eq!(answer(Some(&stranger)), "");
    signal(&child, Signal::TERM);
    child.stderr = Some(stderr.into_inner());
    let logs = ended(child);
    assert!(logs.contains("a client cannot be answered"), "{logs}");
    assert!(logs.contains("connections_cut=2 (tls=2)"), "{logs}");
}

#[test]
fn an_extension_that_is_not_named_is_a_warning_and_one_that_is_not_defined_an_error() {
    let config = small("").replace("  extensions: [health_check]\n", "");
    let output = run(&config, &["validate"]);
    let said = text(&output.stderr);
    let unused =
        "warning: `health_check` is defined here, but `service.extensions` does not name it";
    assert!(output.status.success() && said.contains(unused), "{said}");
    let config = small("").replace(
        "[health_check]",
        "[health_chek, health_check, health_check]",
    );
    let output = run(&config, &["validate"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    for expected in [
        "`service.extensions` names `health_chek`, which `extensions` does not define",
        "did you mean `health_check`?",
        "at service.extensions.0",
        "`health_check` stands twice in this list",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let config = small("").replace("health_check", "healthcheckv2");
    let said = text(&run(&config, &["validate"]).stderr);
    let hint = "this binary has no extension of type `healthcheckv2`; it has `file_storage`, `health_check`";
    assert!(said.contains(hint), "{said}");
    assert!(said.contains("it is called `health_check` here"), "{said}");
}
