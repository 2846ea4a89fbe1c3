//! An upstream that fails in every way that gRPC has: what could be kept arrives, in order, and the rest is counted.

use std::io::{BufReader, Read};
use std::time::Duration;

use rustix::process::Signal;
use tonic::Code;

use crate::common::alone::{CPU, alone};
use crate::common::peer::{Answer, INSECURE, Peer, assert_accounted, net_receiver, otlp_config};
use crate::common::{
    assert_fault, collector, count, count_after, free_address, lines_until, run, signal, text,
};

#[test]
fn each_code_is_retried_or_not_as_otlp_has_it() {
    for code in (1..=16).map(Code::from) {
        for info in [None, Some(Duration::from_millis(1))] {
            let (peer, address) = (Peer::with([Answer::Refuse(code, info)]), free_address());
            let server = peer.serve(address, None, true);
            let output = run(
                &otlp_config(&net_receiver(), &address.to_string(), INSECURE),
                &["--once"],
            );
            drop(server);
            let stderr = text(&output.stderr);
            let otlp = [
                Code::Cancelled,
                Code::DeadlineExceeded,
                Code::Aborted,
                Code::OutOfRange,
                Code::Unavailable,
                Code::DataLoss,
            ];
            // What may be said of zstd is answered with gzip, which this peer takes.
            let zstd = [Code::Unknown, Code::Unimplemented, Code::Internal];
            let retried = otlp.contains(&code)
                || zstd.contains(&code)
                || (code == Code::ResourceExhausted && info.is_some());
            let arrived = peer.received.lock().unwrap().len();
            assert_eq!(
                (arrived, output.status.code()),
                if retried { (1, Some(0)) } else { (0, Some(1)) },
                "{code:?} {info:?}: {stderr}"
            );
            assert_eq!(
                (
                    count(&stderr, "points_sent"),
                    count_after(&stderr, "permanent=")
                ),
                if retried { (72, 0) } else { (0, 72) },
                "{code:?} {info:?}: {stderr}"
            );
            assert_accounted(&stderr);
            if (code, info) == (Code::InvalidArgument, None) {
                assert_fault(
                    "the upstream refuses a request for good",
                    "the request: here 72 points",
                    &stderr,
                    &["permanent=72"],
                );
            }
        }
    }
}

#[test]
fn what_the_peer_refuses_of_a_request_is_rejected_not_sent() {
    let (peer, address) = (
        Peer::with([Answer::Partial(5, "five too many")]),
        free_address(),
    );
    let _server = peer.serve(address, None, true);
    let output = run(
        &otlp_config(&net_receiver(), &address.to_string(), INSECURE),
        &["--once"],
    );
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "not all arrived: {stderr}");
    assert_eq!(
        (
            count(&stderr, "points_sent"),
            count(&stderr, "points_rejected")
        ),
        (67, 5),
        "{stderr}"
    );
    assert_eq!(stderr.matches("five too many").count(), 1, "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "the upstream takes a request in part",
        "what it says it refused: here 5 points of 72",
        &stderr,
        &["points_rejected=5"],
    );
}

#[test]
fn a_warning_of_the_peer_that_took_all_is_told_as_that_and_an_empty_one_is_not() {
    for (message, told) in [("careful", 1), ("", 0)] {
        let (peer, address) = (Peer::with([Answer::Partial(0, message)]), free_address());
        let _server = peer.serve(address, None, true);
        let config = otlp_config(&net_receiver(), &address.to_string(), INSECURE);
        let output = run(&config, &["--once"]);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let warning = "the far side took a request, and warns";
        assert_eq!(stderr.matches(warning).count(), told, "{stderr}");
        assert_eq!(stderr.matches("WARN").count(), told, "{stderr}");
        assert_eq!(count(&stderr, "points_sent"), 72, "{stderr}");
    }
}

#[test]
fn a_peer_that_does_not_answer_is_asked_again() {
    // It counts on an answer within three seconds.
    let _cpu = alone(&CPU);
    let (peer, address) = (Peer::with([Answer::Hang]), free_address());
    let _server = peer.serve(address, None, true);
    let output = run(
        &otlp_config(
            &net_receiver(),
            &address.to_string(),
            &format!("{INSECURE}, timeout: 3s"),
        ),
        &["--once"],
    );
    let stderr = text(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("no answer within 3s"),
        "{stderr}"
    );
    assert_eq!(
        (
            peer.received.lock().unwrap().len(),
            count(&stderr, "points_sent")
        ),
        (1, 72)
    );
    assert_fault(
        "the upstream does not answer",
        "nothing: it is asked again",
        &stderr,
        &[],
    );
}

#[test]
fn a_peer_without_zstd_gets_gzip_and_that_is_said_once() {
    let (peer, address) = (Peer::default(), free_address());
    let _server = peer.serve(address, None, false);
    let receivers = net_receiver().replace("{root", "{collection_interval: 10ms, root");
    let mut child = collector(
        &otlp_config(
            &receivers,
            &address.to_string(),
            &format!("{INSECURE}, headers: {{x-token: hush}}"),
        ),
        &[],
    );
    while peer.received.lock().unwrap().len() < 5 {
        std::thread::yield_now();
    }
    signal(&child, Signal::TERM);
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(
        stderr.matches("sending with less compression").count(),
        1,
        "{stderr}"
    );
    assert!(!stderr.contains("hush"), "{stderr}");
    assert!(
        peer.headers
            .lock()
            .unwrap()
            .iter()
            .all(|it| it == "gzip hush"),
        "{:?}",
        peer.headers
    );
}

#[test]
fn a_peer_that_comes_and_goes_gets_every_sweep_once_and_in_order() {
    let (peer, address) = (Peer::default(), free_address());
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("s")).unwrap();
    let show = |value: usize| {
        std::fs::write(tree.path().join("next"), format!("{value}\n")).unwrap();
        std::fs::rename(tree.path().join("next"), tree.path().join("s/c")).unwrap();
    };
    show(0);
    let receiver = format!(
        "{{collection_interval: 5ms, root: {}}}",
        tree.path().display()
    );
    let mut child = collector(&otlp_config(&receiver, &address.to_string(), INSECURE), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| {
        line.contains("sending fails and is tried again")
    });
    let mut value = 0;
    for _ in 0..3 {
        let server = peer.serve(address, None, true);
        let before = peer.values().len();
        while peer.values().len() < before + 20 {
            value += 1;
            show(value);
        }
        drop(server);
        lines_until(&mut stderr, |line| {
            line.contains("sending fails and is tried again")
        });
    }
    let server = peer.serve(address, None, true);
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    drop(server);
    let values = peer.values();
    assert!(values.is_sorted(), "in order: {values:?}");
    // A request that was taken but not acknowledged, as the peer went, is sent again: at least once, by what is counted.
    let sent = usize::try_from(count(&rest, "points_sent")).unwrap();
    assert!(
        values.len() >= sent && values.len() <= sent + 3,
        "{} {rest}",
        values.len()
    );
    assert_eq!(count(&rest, "points_dropped"), 0, "{rest}");
    assert_accounted(&rest);
    assert_fault(
        "the upstream comes and goes",
        "nothing that the queue holds; what it took without saying so comes twice",
        &rest,
        &[],
    );
}

#[test]
fn with_drop_newest_a_full_queue_drops_the_newest_and_counts_them() {
    let address = free_address();
    let receiver = net_receiver().replace("{root", "{collection_interval: 5ms, root");
    let config = otlp_config(
        &receiver,
        &address.to_string(),
        &format!(
            "{INSECURE}, timeout: 100ms, sending_queue: {{queue_size: 3, overflow: drop_newest}}"
        ),
    )
    .replace("service:\n", "service:\n  shutdown_timeout: 100ms\n");
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| {
        line.contains("the sending queue is full")
    });
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(count_after(&rest, "shutdown="), 3 * 72, "{rest}");
    assert!(count_after(&rest, "queue_full=") >= 72, "{rest}");
    assert_accounted(&rest);
    assert_fault(
        "the sending queue is full, with `overflow: drop_newest`",
        "the newest requests, as long as it is and nothing was sent for the `timeout`",
        &rest,
        &["queue_full=N"],
    );
    assert_fault(
        "the upstream is away when the program ends",
        "what is queued when `shutdown_timeout` has passed: here 3 requests of 72 points",
        &rest,
        &["shutdown=216"],
    );
}

#[test]
fn after_max_elapsed_time_a_request_is_given_up_and_counted() {
    let config = otlp_config(&net_receiver(), &free_address().to_string(), INSECURE).replace(
        "max_interval: 20ms, max_elapsed_time: 1m",
        "max_interval: 20ms, max_elapsed_time: 50ms",
    );
    let output = run(&config, &["--once"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(count_after(&stderr, "max_elapsed_time="), 72, "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "the upstream is away for longer than `max_elapsed_time`",
        "each request that was tried for so long: here one of 72 points",
        &stderr,
        &["max_elapsed_time=72"],
    );
}

#[test]
fn the_first_signal_during_the_drain_of_once_is_not_the_second() {
    let (peer, address) = (Peer::default(), free_address());
    let config = otlp_config(&net_receiver(), &address.to_string(), INSECURE)
        .replace("service:\n", "service:\n  shutdown_timeout: 1m\n");
    let mut child = collector(&config, &["--once"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains("sending fails"));
    signal(&child, Signal::INT);
    let _server = peer.serve(address, None, true);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(peer.received.lock().unwrap().len(), 1);
}
