//! While it is not known what a peer takes: one that is slow, connections that end, one that restarts.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use tokio::sync::Barrier;

use super::{LESS, wait};
use crate::common::peer::{
    EACH_BY_ITSELF, INSECURE, Peer, assert_accounted, net_receiver, otlp_config,
};
use crate::common::strict_peer::{Reaction, StrictPeer};
use crate::common::{
    collector, count, count_after, end, file, free_address, lines_until, run, text,
};

#[test]
fn no_message_waits_for_a_slow_peer_s_answer_to_another() {
    for (configured, first) in [("none", "identity"), ("gzip", "gzip"), ("zstd", "zstd")] {
        // It answers when it has all eight.
        let together: &Barrier = Box::leak(Box::new(Barrier::new(8)));
        let peer = StrictPeer::serve(|_, _| Reaction::TakeTogether(together));
        let tree = tempfile::tempdir().unwrap();
        for subsystem in 0..8 {
            file(tree.path(), &format!("s{subsystem}/c"));
        }
        let receiver = format!("{{root: {}}}", tree.path().display());
        let more = format!("{INSECURE}, compression: {configured}, timeout: 20s");
        let config = otlp_config(&receiver, &peer.address.to_string(), &more)
            .replace("batch: {}", "batch: {timeout: 0s}");
        let output = run(&config, &["--once"]);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let mut expected = vec!["identity"; 8];
        expected[0] = first;
        assert_eq!(peer.encodings(), expected, "{stderr}");
        assert_eq!(count(&stderr, "requests_retried"), 0, "{stderr}");
        assert_eq!(count(&stderr, "points_sent"), 8, "{stderr}");
        assert_accounted(&stderr);
    }
}

#[test]
fn the_first_message_on_a_connection_settles_what_it_takes() {
    // What is refused after that is refused for another reason, on the next connection too.
    let peer = StrictPeer::serve(|_, number| match number {
        1 | 4 => Reaction::Refuse(13, ""),
        2 => Reaction::Close,
        _ => Reaction::Take,
    });
    let receiver = net_receiver().replace("{root", "{collection_interval: 10ms, root");
    let more = format!("{INSECURE}, {EACH_BY_ITSELF}");
    let config = otlp_config(&receiver, &peer.address.to_string(), &more);
    let mut child = collector(&config, &[]);
    wait(&mut child, || peer.encodings().len() > 6);
    let stderr = end(child);
    let encodings = peer.encodings();
    assert!(encodings.iter().all(|it| it == "zstd"), "{encodings:?}");
    assert_eq!(count_after(&stderr, "permanent="), 2 * 72, "{stderr}");
    assert_accounted(&stderr);
}

/// Listens until it has a message, ends without an answer to it, and is away from then on.
fn ends_at_a_message(address: SocketAddr) -> thread::JoinHandle<()> {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ACKNOWLEDGED: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        stream.write_all(SETTINGS).unwrap();
        let (mut received, mut bytes) = (Vec::new(), [0; 4096]);
        let is_acknowledged = |received: &[u8]| received.windows(9).any(|it| it == ACKNOWLEDGED);
        // What is sent before a message is far less.
        while received.len() < 500 || !is_acknowledged(&received) {
            let length = stream.read(&mut bytes).unwrap();
            assert!(length > 0, "the client went away");
            received.extend(&bytes[..length]);
        }
    })
}

#[test]
fn a_peer_that_restarts_at_its_first_message_gets_what_is_configured() {
    let (peer, address) = (Peer::default(), free_address());
    let away = ends_at_a_message(address);
    let receiver = net_receiver().replace("{root", "{collection_interval: 10ms, root");
    let mut child = collector(&otlp_config(&receiver, &address.to_string(), INSECURE), &[]);
    away.join().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let fails = |line: &str| line.contains("sending fails and is tried again");
    lines_until(&mut stderr, fails);
    child.stderr = Some(stderr.into_inner());
    let _server = peer.serve(address, None, true);
    wait(&mut child, || peer.received.lock().unwrap().len() > 3);
    let stderr = end(child);
    let headers = peer.headers.lock().unwrap();
    assert!(headers.iter().all(|it| it == "zstd "), "{headers:?}");
    assert_eq!(stderr.matches(LESS).count(), 0, "{stderr}");
    assert_accounted(&stderr);
}
