//! Peers that do not take what is compressed as configured get it with less compression, and lose nothing.

mod peers;
mod unsettled;

use std::io::{BufReader, Read};
use std::process::Child;

use h2::Reason;
use rustix::process::Signal;
use tonic::Code;

use self::peers::{GRPC_JS, GRPC_JS_THAT_ENDS, GRPCIO, RealPeer};
use crate::common::peer::{
    Answer, EACH_BY_ITSELF, INSECURE, Peer, assert_accounted, net_receiver, otlp_config,
};
use crate::common::strict_peer::{Reaction, StrictPeer};
use crate::common::{
    assert_fault, collector, count, count_after, end, file, free_address, lines_until, run, signal,
    text,
};
use crate::otelcol::process::Otelcol;

const LESS: &str = "sending with less compression";

/// The logs of one sweep to this peer, which has to arrive whole.
fn sent_once(address: &str, more: &str) -> String {
    let config = otlp_config(&net_receiver(), address, &format!("{INSECURE}, {more}"));
    let output = run(&config, &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(count(&stderr, "points_sent"), 72, "{stderr}");
    assert_accounted(&stderr);
    stderr
}

/// Waits until it is so, while the program runs.
fn wait(child: &mut Child, is_so: impl Fn() -> bool) {
    while !is_so() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
}

#[test]
fn whatever_a_peer_does_at_what_it_cannot_decompress_it_gets_less_at_once() {
    let refusal = Reaction::Refuse(13, "Error parsing 'grpc-encoding' metadata");
    let unknown = Reaction::Refuse(12, "Decompressor is not installed for grpc-encoding");
    for (reaction, knows, expected) in [
        (refusal, "gzip identity", "zstd gzip"),
        (refusal, "identity", "zstd gzip identity"),
        (unknown, "gzip identity", "zstd gzip"),
        (unknown, "identity", "zstd gzip identity"),
        (Reaction::Refuse(2, ""), "identity", "zstd gzip identity"),
        (Reaction::Http(415, None), "identity", "zstd gzip identity"),
        (
            Reaction::Reset(Reason::INTERNAL_ERROR),
            "gzip identity",
            "zstd gzip",
        ),
        (
            Reaction::Reset(Reason::PROTOCOL_ERROR),
            "identity",
            "zstd gzip identity",
        ),
        // It may have restarted: the same is tried again.
        (Reaction::Close, "gzip identity", "zstd zstd gzip"),
        (Reaction::Close, "identity", "zstd zstd gzip gzip identity"),
    ] {
        let react = move |encoding: &str, _| {
            let knows = knows.contains(encoding);
            if knows { Reaction::Take } else { reaction }
        };
        let peer = StrictPeer::serve(react);
        let stderr = sent_once(&peer.address.to_string(), "compression: zstd");
        assert_eq!(peer.encodings().join(" "), expected, "{stderr}");
        assert_eq!(stderr.matches(LESS).count(), 1, "{stderr}");
        assert_eq!(count(&stderr, "requests_retried"), 0, "{stderr}");
        if expected.ends_with("gzip") {
            assert!(stderr.contains("compression=\"gzip\""), "{stderr}");
        }
        assert_fault(
            "the upstream does not know the compression",
            "nothing: it gets the same with less",
            &stderr,
            &[],
        );
    }
}

#[test]
fn what_holds_is_said_once_and_goes_on_for_all_that_follows() {
    // One that closes the connection closes it for all requests that are on it: they do not find out at the same time.
    let closes_at_zstd = |encoding: &str, _| {
        let knows = encoding != "zstd";
        if knows {
            Reaction::Take
        } else {
            Reaction::Close
        }
    };
    let peer = StrictPeer::serve(closes_at_zstd);
    let tree = tempfile::tempdir().unwrap();
    for subsystem in 0..40 {
        file(tree.path(), &format!("s{subsystem}/c"));
    }
    let receiver = format!(
        "{{collection_interval: 50ms, root: {}}}",
        tree.path().display()
    );
    let config = otlp_config(&receiver, &peer.address.to_string(), INSECURE)
        .replace("processors: [batch]", "processors: []");
    let mut child = collector(&config, &[]);
    wait(&mut child, || peer.encodings().len() > 120);
    let stderr = end(child);
    let encodings = peer.encodings();
    assert_eq!(encodings[..2], ["zstd"; 2]);
    // On a slow machine some do not wait for what the first finds out.
    assert!(
        encodings[2..].iter().all(|it| it != "zstd"),
        "{encodings:?}"
    );
    assert_eq!(encodings[encodings.len() - 40..], ["gzip"; 40]);
    assert_eq!(stderr.matches(LESS).count(), 1, "{stderr}");
    assert_eq!(count(&stderr, "requests_retried"), 0, "{stderr}");
    assert_accounted(&stderr);
}

#[test]
fn what_fails_for_another_reason_leaves_compression_on() {
    // The first is refused however it is sent; one of those that follow is refused by a peer that has taken zstd.
    let refused = || Answer::Refuse(Code::Internal, None);
    let answers = [refused(), refused(), refused(), Answer::Accept, refused()];
    let (peer, address) = (Peer::with(answers), free_address());
    let _server = peer.serve(address, None, true);
    let receiver = net_receiver().replace("{root", "{collection_interval: 10ms, root");
    let more = format!("{INSECURE}, {EACH_BY_ITSELF}");
    let mut child = collector(&otlp_config(&receiver, &address.to_string(), &more), &[]);
    wait(&mut child, || peer.received.lock().unwrap().len() > 3);
    let stderr = end(child);
    let headers = peer.headers.lock().unwrap().join("");
    assert!(
        headers.starts_with("zstd gzip identity zstd zstd zstd zstd"),
        "{headers}"
    );
    assert_eq!(headers.matches("gzip").count(), 1, "{headers}");
    assert_eq!(stderr.matches(LESS).count(), 0, "{stderr}");
    assert_eq!(count_after(&stderr, "permanent="), 2 * 72, "{stderr}");
    assert_accounted(&stderr);
}

#[test]
fn a_peer_that_is_not_there_or_restarts_is_no_reason_for_less() {
    let (peer, address) = (Peer::default(), free_address());
    let receiver = net_receiver().replace("{root", "{collection_interval: 10ms, root");
    let config = otlp_config(&receiver, &address.to_string(), INSECURE);
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let fails = |line: &str| line.contains("sending fails and is tried again");
    for _ in 0..3 {
        lines_until(&mut stderr, fails);
        let server = peer.serve(address, None, true);
        let before = peer.received.lock().unwrap().len();
        wait(&mut child, || {
            peer.received.lock().unwrap().len() > before + 2
        });
        drop(server);
    }
    let _server = peer.serve(address, None, true);
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let headers = peer.headers.lock().unwrap();
    assert!(headers.iter().all(|it| it == "zstd "), "{headers:?}");
    assert_accounted(&rest);
}

#[test]
fn what_the_peer_names_is_heeded() {
    // It takes zstd, maybe only to pass it on: it says that it knows gzip.
    let peer = StrictPeer::serve(|_, _| Reaction::TakeNaming("identity,deflate,gzip"));
    let receiver = net_receiver().replace("{root", "{collection_interval: 10ms, root");
    let config = otlp_config(&receiver, &peer.address.to_string(), INSECURE);
    let mut child = collector(&config, &[]);
    wait(&mut child, || peer.encodings().len() > 4);
    let stderr = end(child);
    let encodings = peer.encodings();
    assert_eq!(encodings[0], "zstd");
    assert!(
        encodings[1..].iter().all(|it| it == "gzip"),
        "{encodings:?}"
    );
    assert_eq!(stderr.matches(LESS).count(), 1, "{stderr}");
}

#[test]
fn real_peers_of_all_kinds_take_all_of_it() {
    let test = "real_peers_of_all_kinds_take_all_of_it";
    for (kind, least) in [(GRPCIO, "gzip"), (GRPC_JS, "gzip")] {
        for configured in ["zstd", "gzip", "none"] {
            let Some(mut peer) = RealPeer::start(test, kind, 0) else {
                return;
            };
            let compression = format!("compression: {configured}");
            let stderr = sent_once(&peer.address(), &compression);
            assert!(peer.line().parse::<usize>().unwrap() > 1000);
            let expected = usize::from(configured == "zstd");
            assert_eq!(stderr.matches(LESS).count(), expected, "{stderr}");
            if expected == 1 {
                let sends = format!("compression=\"{least}\"");
                assert!(stderr.contains(&sends), "{stderr}");
            }
        }
    }
    let Some(otelcol) = Otelcol::start(test) else {
        return;
    };
    let stderr = sent_once(&otelcol.grpc.to_string(), "compression: zstd");
    assert!(!stderr.contains("WARN"), "{stderr}");
}

#[test]
fn a_server_that_ends_at_zstd_and_is_started_anew_takes_all_of_it() {
    let test = "a_server_that_ends_at_zstd_and_is_started_anew_takes_all_of_it";
    let Some(mut first) = RealPeer::start(test, GRPC_JS_THAT_ENDS, 0) else {
        return;
    };
    let config = otlp_config(&net_receiver(), &first.address(), INSECURE)
        .replace("service:\n", "service:\n  shutdown_timeout: 1m\n");
    let child = collector(&config, &["--once"]);
    first.wait();
    // It may have been restarted: the next one gets the same.
    let mut second = RealPeer::start(test, GRPC_JS_THAT_ENDS, first.port).unwrap();
    second.wait();
    let mut third = RealPeer::start(test, GRPC_JS_THAT_ENDS, first.port).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(third.line().parse::<usize>().unwrap() > 1000);
    assert_eq!(stderr.matches(LESS).count(), 1, "{stderr}");
    assert_eq!(count(&stderr, "points_sent"), 72, "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "the upstream ends at a compression that it does not know",
        "nothing: when it is there again after the second time it gets the same with less",
        &stderr,
        &[],
    );
}
