//! An OTLP upstream that says too much, or what is not so: it costs neither memory nor points.

use tonic::Code;

use crate::common::peer::{Answer, INSECURE, Peer, assert_accounted, net_receiver, otlp_config};
use crate::common::{collector, count, end, free_address, peak_memory, run, text};

/// One sweep of 72 points to a peer: how many messages it took, and what the program logged.
fn sweep_once(peer: &Peer) -> (usize, String) {
    let address = free_address();
    let server = peer.serve(address, None, true);
    let config = otlp_config(&net_receiver(), &address.to_string(), INSECURE);
    let output = run(&config, &["--once"]);
    drop(server);
    let stderr = text(&output.stderr);
    assert_accounted(&stderr);
    let received = peer.received.lock().unwrap().len();
    (received, stderr)
}

#[test]
fn what_it_says_is_cut_before_it_is_kept_or_logged() {
    let ramble = || std::iter::repeat_n(Answer::Ramble(1_000_000), 200);
    let (peer, address) = (Peer::with(ramble()), free_address());
    let server = peer.serve(address, None, true);
    let receiver = net_receiver().replace("{root", "{collection_interval: 5ms, root");
    let child = collector(&otlp_config(&receiver, &address.to_string(), INSECURE), &[]);
    while !peer.answers.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let peak = peak_memory(&child);
    let stderr = end(child);
    drop(server);
    assert!(peak < 100 << 10, "{peak} KiB");
    assert!(stderr.len() < 64 << 10, "{} bytes of log", stderr.len());
    assert!(stderr.contains("éé…"), "{stderr}");
    assert_accounted(&stderr);
}

#[test]
fn an_answer_that_is_too_large_is_not_read_and_its_request_is_sent_once() {
    for compresses in [false, true] {
        let peer = Peer {
            compresses,
            ..Peer::with([Answer::Ramble(3_600_000)])
        };
        let (received, stderr) = sweep_once(&peer);
        assert_eq!((received, count(&stderr, "points_sent")), (1, 72));
        assert_eq!(count(&stderr, "requests_retried"), 0, "{stderr}");
        let why = "its answer has more than 1048575 bytes and was not read";
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[test]
fn one_lie_about_its_limit_does_not_part_requests_into_points() {
    let lie = "grpc: received message larger than max (5000000 vs. 1)";
    for code in [Code::ResourceExhausted, Code::OutOfRange] {
        let (received, stderr) = sweep_once(&Peer::with([Answer::Say(code, lie.into())]));
        assert!((2..6).contains(&received), "{received}: {stderr}");
        assert_eq!(count(&stderr, "points_sent"), 72, "{stderr}");
    }
}

#[test]
fn a_refusal_of_many_words_is_cut_and_one_of_too_many_is_a_refusal_still() {
    for bytes in [30_000, 100_000, 1_000_000] {
        let refusal = Answer::Say(Code::InvalidArgument, "w".repeat(bytes));
        let (received, stderr) = sweep_once(&Peer::with([refusal]));
        assert_eq!((received, count(&stderr, "points_sent")), (0, 0));
        assert!(stderr.contains("permanent=72"), "{stderr}");
        assert!(stderr.len() < 8 << 10, "{} bytes of log", stderr.len());
    }
}
