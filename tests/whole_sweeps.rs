//! Sweeps of many subsystems, and of more requests than the queue holds: they arrive whole at a peer that gets on.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;

use crate::common::peer::{INSECURE, Peer, assert_accounted, otlp_config};
use crate::common::{
    collector, config, count, end, file, free_address, lines_until, run, shared_memory, text,
};

/// A tree of so many subsystems of one series each.
fn tree(subsystems: usize) -> tempfile::TempDir {
    let tree = shared_memory();
    (0..subsystems).for_each(|number| file(tree.path(), &format!("s{number}/d/v")));
    tree
}

/// Its interval is long enough for a sweep to be sent meanwhile.
fn receiver(tree: &Path) -> String {
    format!("{{root: {}, collection_interval: 1s}}", tree.display())
}

/// With `batch`, and without any processor.
const PROCESSORS: [&str; 2] = ["[batch]", "[]"];

#[test]
fn with_once_every_subsystem_is_shown_whatever_the_queue_holds() {
    let tree = tree(1500);
    for processors in PROCESSORS {
        let yaml = config(
            &receiver(tree.path()),
            "batch: ",
            "{sending_queue: {queue_size: 3}}",
        );
        let output = run(&yaml.replace("[batch]", processors), &["--once"]);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{processors}: {stderr}");
        assert_eq!(text(&output.stdout).lines().count(), 1500, "{stderr}");
        assert_eq!(count(&stderr, "points_sent"), 1500, "{stderr}");
    }
}

#[test]
fn small_subsystems_that_were_read_together_share_a_request() {
    let (peer, address) = (Peer::default(), free_address());
    let _server = peer.serve(address, None, true);
    let tree = tree(1500);
    let yaml = otlp_config(&receiver(tree.path()), &address.to_string(), INSECURE);
    let output = run(&yaml, &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(count(&stderr, "points_sent"), 1500, "{stderr}");
    // Those of a sweep, or of what was read of it in the first `timeout`.
    let requests = peer.received.lock().unwrap().len();
    assert!(requests < 20, "{requests} requests of 1500 subsystems");
}

#[test]
fn sweep_after_sweep_arrives_whole_at_a_peer_that_gets_on_beside_another_exporter() {
    let tree = tree(200);
    for processors in PROCESSORS {
        let (peer, address) = (Peer::default(), free_address());
        let _server = peer.serve(address, None, true);
        let queue = "sending_queue: {queue_size: 2}";
        let yaml = otlp_config(
            &receiver(tree.path()),
            &address.to_string(),
            &format!("{INSECURE}, {queue}"),
        )
        .replace(
            "exporters:\n",
            &format!("exporters:\n  stdout: {{{queue}}}\n"),
        )
        .replace("[batch]", processors)
        .replace("[otlp]", "[otlp, stdout]");
        let mut child = collector(&yaml, &[]);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut shown: BTreeMap<String, usize> = BTreeMap::new();
        lines_until(&mut stdout, |line| {
            *shown.entry(line.to_owned()).or_default() += 1;
            shown.len() == 200 && shown.values().all(|times| *times >= 3)
        });
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let stderr = end(child);
        let dropped = count(&stderr, "points_dropped");
        assert_eq!(dropped, 0, "{processors}: {stderr}");
        assert_eq!(
            count(&stderr, "points_sent"),
            2 * count(&stderr, "points_read"),
            "{processors}: {stderr}"
        );
        assert_accounted(&stderr);
    }
}

#[test]
fn an_exporter_that_ends_leaves_nothing_uncounted_that_waited_for_room() {
    let (peer, address) = (Peer::default(), free_address());
    let _server = peer.serve(address, None, true);
    let tree = tree(400);
    let yaml = otlp_config(&receiver(tree.path()), &address.to_string(), INSECURE)
        .replace(
            "exporters:\n",
            "exporters:\n  stdout: {sending_queue: {queue_size: 2}}\n",
        )
        .replace("[batch]", "[]")
        .replace("[otlp]", "[otlp, stdout]");
    let mut child = collector(&yaml, &["--once"]);
    // A pipe that nobody reads holds what it holds; then the reader is gone.
    drop(child.stdout.take());
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    assert_eq!(count(&stderr, "points_queued"), 0, "{stderr}");
    let [sent, dropped] = ["points_sent", "points_dropped"].map(|it| count(&stderr, it));
    assert_eq!(sent + dropped, 2 * 400, "{stderr}");
    assert!(sent >= 400, "{stderr}");
}
