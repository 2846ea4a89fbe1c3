//! An upstream that is away for longer than the queue holds: how often a series was seen is what that costs, never a total.

use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr};

use rustix::process::Signal;

use crate::common::peer::{INSECURE, Peer, assert_accounted, otlp_config};
use crate::common::{
    assert_fault, collector, count, count_after, free_address, lines_until, signal,
};
use crate::otelcol::points::ints;
use crate::otelcol::process::Otelcol;

/// A counter in a tree, and what a backend would add up of it: it counts, and is reset from time to time.
struct Counter {
    tree: tempfile::TempDir,
    value: i64,
    /// What was shown since the first value.
    total: i64,
}

impl Counter {
    fn new() -> Counter {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("s")).unwrap();
        let counter = Counter {
            tree,
            value: 0,
            total: 0,
        };
        counter.show();
        counter
    }

    fn show(&self) {
        let next = self.tree.path().join("next");
        std::fs::write(&next, format!("{}\n", self.value)).unwrap();
        std::fs::rename(&next, self.tree.path().join("s/c")).unwrap();
    }

    fn count_on(&mut self) {
        self.value += 1;
        self.show();
    }
}

/// The sum of what a counter grew by, where one that falls has begun at 0.
fn added_up(values: &[i64]) -> i64 {
    let steps = values.windows(2);
    let grown = steps.map(|it| if it[0] <= it[1] { it[1] - it[0] } else { it[1] });
    grown.sum()
}

fn config(tree: &Path, address: &str, queue: &str) -> String {
    let receiver = format!("{{collection_interval: 5ms, root: {}}}", tree.display());
    let more = format!("{INSECURE}, timeout: 200ms, sending_queue: {queue}");
    // As the defaults have it, but for the pace.
    let config = otlp_config(&receiver, address, &more);
    let metadata = "processors:\n  metadata: {rules: [{match: {name: s/c}, kind: counter}]}\n";
    config
        .replace(", max_elapsed_time: 1m", "")
        .replace("processors:\n", metadata)
        .replace("[batch]", "[metadata, batch]")
        .replace(
            "service:\n",
            "service:\n  telemetry: {logs: {summary_interval: 50ms}}\n",
        )
}

/// Counts until so many points gave way.
fn count_until_thinned(stderr: &mut BufReader<ChildStderr>, counter: &mut Counter, points: u64) {
    lines_until(stderr, |line| {
        counter.count_on();
        count_after(line, "coalesced=") >= points
    });
}

/// Waits until what is shown has been read.
fn read(stderr: &mut BufReader<ChildStderr>) {
    let mut first = None;
    lines_until(stderr, |line| {
        let sweeps = count(line, "sweeps");
        sweeps > 0 && sweeps > *first.get_or_insert(sweeps) + 1
    });
}

/// Ends it: what it said since.
fn end(mut child: Child, mut stderr: BufReader<ChildStderr>) -> String {
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    rest
}

#[test]
fn an_outage_longer_than_the_queue_costs_no_total_and_is_said_at_its_beginning_and_its_end() {
    let (peer, address) = (Peer::default(), free_address());
    let mut counter = Counter::new();
    let yaml = config(
        counter.tree.path(),
        &address.to_string(),
        "{queue_size: 20}",
    );
    let mut child = collector(&yaml, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let thinned = "the sweeps that wait are thinned";
    lines_until(&mut stderr, |line| line.contains(thinned));
    count_until_thinned(&mut stderr, &mut counter, 300);
    let _server = peer.serve(address, None, true);
    let lines = lines_until(&mut stderr, |line| {
        line.contains("the sending queue has room again")
    });
    let last = lines.last().unwrap();
    for field in ["lasted=", "interval=", "points="] {
        assert!(last.contains(field), "{last}");
    }
    assert!(!lines.iter().any(|it| it.contains(thinned)), "said once");
    while peer.values().last() != Some(&counter.value) {
        std::thread::yield_now();
    }
    let rest = end(child, stderr);
    let values = peer.values();
    assert!(values.is_sorted(), "in order: {values:?}");
    assert_eq!(values[0], 0, "the first one too: {values:?}");
    assert_eq!(added_up(&values), counter.value);
    assert_accounted(&rest);
    assert_eq!(count_after(&rest, "queue_full="), 0, "{rest}");
    assert_fault(
        "the sending queue is full",
        "how often series were seen, evenly over all of the time; no total",
        &rest,
        &["coalesced=N"],
    );
}

#[test]
fn with_drop_oldest_the_newest_are_kept() {
    let (peer, address) = (Peer::default(), free_address());
    let mut counter = Counter::new();
    let queue = "{queue_size: 5, overflow: drop_oldest}";
    let yaml = config(counter.tree.path(), &address.to_string(), queue);
    let mut child = collector(&yaml, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| {
        counter.count_on();
        count_after(line, "queue_full=") >= 50
    });
    let _server = peer.serve(address, None, true);
    while peer.values().last() != Some(&counter.value) {
        std::thread::yield_now();
    }
    let rest = end(child, stderr);
    let values = peer.values();
    assert!(values.is_sorted(), "in order: {values:?}");
    assert_accounted(&rest);
    assert_fault(
        "the sending queue is full, with `overflow: drop_oldest`",
        "the requests that wait longest, as long as it is and nothing was sent for the `timeout`",
        &rest,
        &["queue_full=N"],
    );
}

#[test]
fn a_collector_that_is_killed_and_away_for_longer_than_memory_holds_gets_every_total_in_order() {
    let test = "a_collector_that_is_killed_and_away_for_longer_than_memory_holds_gets_every_total_in_order";
    let Some(mut otelcol) = Otelcol::stopped(test, "") else {
        return;
    };
    let mut counter = Counter::new();
    let address = otelcol.grpc.to_string();
    let yaml = config(counter.tree.path(), &address, "{queue_size: 20}");
    otelcol.run();
    let mut child = collector(&yaml, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| {
        counter.count_on();
        count(line, "points_sent") > 20
    });
    otelcol.stop(Signal::KILL);
    // Twice, with a reset each time.
    for points in [200, 400] {
        count_until_thinned(&mut stderr, &mut counter, points);
        read(&mut stderr);
        counter.total += counter.value;
        counter.value = 0;
        counter.show();
    }
    count_until_thinned(&mut stderr, &mut counter, 600);
    counter.total += counter.value;
    otelcol.run();
    lines_until(&mut stderr, |line| {
        line.contains("the sending queue has room again")
    });
    // Sweep after sweep is sent again, the last value too.
    let mut sent = 0;
    lines_until(&mut stderr, |line| {
        let now = count(line, "points_sent");
        sent = if sent == 0 { now } else { sent };
        sent > 0 && now > sent + 50
    });
    let rest = end(child, stderr);
    let mut values = ints(&otelcol.end(), "s/c");
    // What was taken and not acknowledged comes twice.
    values.dedup();
    let falls = values.windows(2).filter(|it| it[1] < it[0]).count();
    assert_eq!(falls, 2, "in order, but for the resets: {values:?}");
    assert_eq!(added_up(&values), counter.total - values[0], "{values:?}");
    assert_accounted(&rest);
    assert_fault(
        "the upstream Collector is killed and away for longer than the queue holds",
        "how often series were seen, evenly over all of the time; no total, also not over resets",
        &rest,
        &["coalesced=N"],
    );
}
