//! Requests that waited, were sent together, and are refused for good.

use std::io::{BufReader, Read};

use rustix::process::Signal;

use crate::common::peer::{INSECURE, Peer, assert_accounted, otlp_config};
use crate::common::{
    assert_fault, collector, count, count_after, free_address, lines_until, signal,
};

#[test]
fn only_what_is_refused_is_lost() {
    let tree = tempfile::tempdir().unwrap();
    // A receiver each: what one reads together goes together.
    let mut receivers = Vec::new();
    for subsystem in ["refused", "s"] {
        let root = tree.path().join(subsystem);
        std::fs::create_dir_all(root.join(subsystem)).unwrap();
        std::fs::write(root.join(subsystem).join("c"), "1\n").unwrap();
        let root = root.display();
        receivers.push(format!(
            "  statsfs/{subsystem}: {{collection_interval: 5ms, root: {root}}}\n"
        ));
    }
    let address = free_address();
    let peer = Peer {
        refuses: Some("refused/c"),
        ..Peer::default()
    };
    let config = otlp_config("", &address.to_string(), INSECURE)
        .replace("  statsfs: \n", &receivers.concat())
        .replace("[statsfs]", "[statsfs/refused, statsfs/s]")
        .replace("[batch]", "[]")
        .replace(
            "service:\n",
            "service:\n  telemetry: {logs: {level: debug, summary_interval: 50ms}}\n",
        );
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| count(line, "points_queued") > 50);
    let _server = peer.serve(address, None, true);
    lines_until(&mut stderr, |line| {
        line.contains("requests were refused for good together")
    });
    lines_until(&mut stderr, |line| count(line, "points_sent") > 100);
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    let (sent, refused) = (
        count(&rest, "points_sent"),
        count_after(&rest, "permanent="),
    );
    assert_eq!(peer.values().len() as u64, sent, "{rest}");
    let read = ["refused", "s"].map(|subsystem| {
        let component = format!("component=\"statsfs/{subsystem}\"");
        let mut summaries = rest.lines().filter(|it| it.contains(&component));
        count(summaries.next_back().unwrap(), "points_read")
    });
    assert_eq!([refused, sent], read, "{rest}");
    assert_eq!(count(&rest, "points_dropped"), refused, "{rest}");
    assert_accounted(&rest);
    assert_fault(
        "the upstream refuses for good what is in one of the requests that were sent together",
        "that request",
        &rest,
        &["permanent=N"],
    );
}
