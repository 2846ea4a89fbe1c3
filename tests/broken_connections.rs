//! Connections that come to nothing: the next one is tried, and nothing is lost.

use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use h2::Reason;
use rcgen::{CertificateParams, KeyPair};
use tonic::transport::{Identity, ServerTlsConfig};

use crate::common::peer::{INSECURE, Peer, assert_accounted, net_receiver, otlp_config};
use crate::common::strict_peer::{Reaction, StrictPeer};
use crate::common::{assert_fault, count, free_address, run, text};

/// Listens; `broken` has the first connections, all later ones are led to `behind`.
fn in_front_of(
    behind: SocketAddr,
    mut broken: impl FnMut(TcpStream) -> bool + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut is_broken = true;
        for client in listener.incoming() {
            let client = client.unwrap();
            if is_broken {
                is_broken = broken(client);
                continue;
            }
            let server = TcpStream::connect(behind).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                thread::spawn(move || {
                    // Either side may go when it likes.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}

#[test]
fn a_peer_that_accepts_and_resets_is_tried_again() {
    let (peer, behind) = (Peer::default(), free_address());
    let _server = peer.serve(behind, None, true);
    let mut resets = 0;
    let address = in_front_of(behind, move |mut client| {
        // Closed with bytes unread: the kernel answers with a reset.
        client.read_exact(&mut [0]).unwrap();
        resets += 1;
        resets < 5
    });
    let output = run(
        &otlp_config(&net_receiver(), &address.to_string(), INSECURE),
        &["--once"],
    );
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(peer.received.lock().unwrap().len(), 1);
    // One that says nothing is not there: what it would know is not asked.
    assert_eq!(*peer.headers.lock().unwrap(), ["zstd "]);
    assert_eq!(count(&stderr, "points_sent"), 72, "{stderr}");
    assert_eq!(
        stderr.matches("sending fails and is tried again").count(),
        1,
        "{stderr}"
    );
    assert_accounted(&stderr);
    assert_fault(
        "the upstream resets connections",
        "nothing: the next one is tried",
        &stderr,
        &[],
    );
}

#[test]
fn a_proxy_s_page_and_a_connection_that_ends_in_an_answer_are_tried_again() {
    let page = Some("<html>Bad Gateway</html>");
    for (reaction, said) in [
        (Reaction::Http(429, None), "HTTP 429 Too Many Requests"),
        (
            Reaction::Http(502, page),
            "HTTP 502 Bad Gateway (text/html)",
        ),
        (
            Reaction::Http(502, None),
            "HTTP 502 Bad Gateway (no content",
        ),
        (Reaction::Http(503, page), "HTTP 503 Service Unavailable"),
        (Reaction::Http(504, page), "HTTP 504 Gateway Timeout"),
        (
            Reaction::Half,
            "h2 protocol error: error reading a body from connection",
        ),
        (
            Reaction::ResetWithin(b"\0\0\0\0\x20abc", Reason::CANCEL),
            "h2 protocol error",
        ),
        (
            Reaction::ResetWithin(b"\0\0", Reason::NO_ERROR),
            "the answer ended before it was whole",
        ),
        (
            Reaction::ResetWithin(b"", Reason::INTERNAL_ERROR),
            "h2 protocol error",
        ),
        (Reaction::Reset(Reason::REFUSED_STREAM), "h2 protocol error"),
        (
            Reaction::Reset(Reason::ENHANCE_YOUR_CALM),
            "h2 protocol error",
        ),
    ] {
        let peer = StrictPeer::serve(move |_, number| match number {
            0..3 => reaction,
            _ => Reaction::Take,
        });
        let config = otlp_config(&net_receiver(), &peer.address.to_string(), INSECURE);
        let output = run(&config, &["--once"]);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        // Nothing of it is for the compression.
        assert_eq!(peer.encodings(), ["zstd"; 4], "{stderr}");
        assert!(stderr.contains(&format!("Unavailable: {said}")), "{stderr}");
        assert_eq!(count(&stderr, "requests_retried"), 3, "{stderr}");
        assert_eq!(count(&stderr, "points_sent"), 72, "{stderr}");
        assert_accounted(&stderr);
        assert_fault(
            "a proxy before the upstream answers in its place (429, 502, 503, 504), or a connection ends in an answer",
            "nothing: it is tried again",
            &stderr,
            &[],
        );
    }
}

#[test]
fn a_peer_that_hangs_in_the_middle_of_tls_is_connected_to_anew() {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, &certificate).unwrap();
    let identity = Identity::from_pem(certificate, key.serialize_pem());
    let (peer, behind) = (Peer::default(), free_address());
    let _server = peer.serve(
        behind,
        Some(ServerTlsConfig::new().identity(identity)),
        true,
    );
    let (hold, held) = mpsc::channel();
    let address = in_front_of(behind, move |mut client| {
        // It has said hello, and is never answered; the connection stays open until the test ends.
        client.read_exact(&mut [0; 64]).unwrap();
        hold.send(client).unwrap();
        false
    });
    let more = format!("tls: {{ca_file: {}}}, timeout: 3s", ca.display());
    let config = otlp_config(
        &net_receiver(),
        &format!("localhost:{}", address.port()),
        &more,
    )
    .replace("service:\n", "service:\n  shutdown_timeout: 1m\n");
    let output = run(&config, &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(held.try_iter().count(), 1);
    assert_eq!(peer.received.lock().unwrap().len(), 1);
    assert!(stderr.contains("no answer within 3s"), "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "the upstream hangs in the middle of TLS",
        "nothing: after 10 s it is connected to anew",
        &stderr,
        &[],
    );
}
