//! Fan-out: exporters that stand still, pipelines of different intervals, one exporter in two pipelines.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;

use rustix::process::Signal;

use crate::common::{
    self, assert_fault, collector, has_program, lacks, lines_until, memory, repository, signal,
    text, trace, traced,
};

fn net(interval: &str) -> String {
    let root = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    format!(
        "{{collection_interval: {interval}, root: {}}}",
        root.display()
    )
}

fn expect_count(logs: &str, pattern: &str) -> u64 {
    common::find_count(logs, pattern).unwrap_or_else(|| panic!("{pattern}: {logs}"))
}

#[test]
fn an_exporter_that_hangs_never_stalls_its_neighbour() {
    // It takes connections, and never says a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "receivers: {{statsfs: {}}}\nprocessors: {{metadata: , batch: }}\n\
         exporters: {{stdout: , otlp: {{endpoint: '{}', tls: {{insecure: true}}, timeout: 1h, sending_queue: {{queue_size: 5}}}}}}\n\
         service: {{shutdown_timeout: 1s, pipelines: {{metrics: {{receivers: [statsfs], processors: [metadata, batch], exporters: [stdout, otlp]}}}}}}\n",
        net("5ms"),
        listener.local_addr().unwrap()
    );
    let mut child = collector(&config, &[]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (mut sweeps, mut shown) = (0, 0);
    let mut until = |child: &Child, most: usize| {
        lines_until(&mut stdout, |line| {
            shown += 1;
            sweeps += usize::from(line.starts_with("net/collisions{device=/lo}"));
            sweeps == most
        });
        memory(child)
    };
    let early = until(&child, 100);
    let late = until(&child, 500);
    assert!(
        late < early + 8192,
        "memory stays flat: {early} KiB, then {late} KiB"
    );
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    shown += rest.lines().count() as u64;
    assert_eq!(
        expect_count(&stderr, " points_read="),
        shown,
        "no point is missing: {stderr}"
    );
    // The queue, and one sweep that waits for room.
    let left = expect_count(&stderr, " shutdown=");
    assert!(left <= 6 * 72, "{stderr}");
    let [handed, sent, dropped] = [" points_handed=", " points_sent=", " points_dropped="]
        .map(|name| expect_count(&stderr, name));
    assert_eq!(handed, sent + dropped, "{stderr}");
    assert_eq!(
        expect_count(&stderr, " points_read=") * 2,
        handed,
        "one receiver, two exporters: {stderr}"
    );
    assert_fault(
        "one of two exporters hangs",
        "how often its own series were seen, and what is queued at the end; nothing of the other exporter",
        &stderr,
        &["coalesced=N", "shutdown=N"],
    );
}

/// How often this file was opened, when the program has ended.
fn opens(log: &Path, process: u32, file: &str) -> usize {
    trace(log, process).matches(&format!("\"{file}\"")).count()
}

#[test]
fn two_pipelines_of_different_pace_read_each_file_once() {
    if !has_program("strace") {
        return lacks(
            "two_pipelines_of_different_pace_read_each_file_once",
            "strace",
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("strace");
    let config = format!(
        "receivers: {{statsfs: {}}}\n\
         processors:\n  labels/fast: {{actions: [{{set: {{label: way, value: fast}}}}]}}\n  labels/slow: {{actions: [{{set: {{label: way, value: slow}}}}]}}\n  \
         batch: \n  batch/slow: {{subsystems: [{{match: net, interval: 500ms}}]}}\n\
         exporters: {{stdout: }}\n\
         service: {{pipelines: {{metrics/fast: {{receivers: [statsfs], processors: [labels/fast, batch], exporters: [stdout]}}, \
         metrics/slow: {{receivers: [statsfs], processors: [labels/slow, batch/slow], exporters: [stdout]}}}}}}\n",
        net("50ms")
    );
    let mut child = traced(&config, &log);
    let (mut fast, mut slow, mut shown) = (0, 0, 0);
    let mut tally = |line: &str| {
        let is_fast = line.starts_with("net/tx_packets{") && line.contains(",way=fast}");
        shown += usize::from(is_fast);
        fast += usize::from(is_fast && line.contains("device=/lo,"));
        slow += usize::from(line.starts_with("net/tx_packets{device=/lo,way=slow}"));
        fast == 35
    };
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    lines_until(&mut stdout, &mut tally);
    signal(&child, Signal::TERM);
    for line in stdout.lines() {
        tally(&line.unwrap());
    }
    let process = child.id();
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    // Each interface has a file of that name.
    assert_eq!(opens(&log, process, "tx_packets"), shown, "{stderr}");
    // On a busy machine a sweep of the slow one may come late, or all ten ticks of one be missed.
    let ticks = usize::try_from(common::ticks(&stderr)).unwrap();
    assert!(
        slow + 1 >= fast / 10 && slow <= ticks / 10 + 1,
        "each tenth tick: {slow} of {ticks}, {fast} of them not missed: {stderr}"
    );
    let [read, dropped, handed] = [" points_read=", " points_dropped=", " points_handed="]
        .map(|name| expect_count(&stderr, name));
    assert_eq!(read * 2, dropped + handed, "{stderr}");
}

#[test]
fn a_receiver_with_no_way_out_that_is_due_reads_nothing() {
    if !has_program("strace") {
        return lacks(
            "a_receiver_with_no_way_out_that_is_due_reads_nothing",
            "strace",
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("strace");
    let config = common::config(
        &net("10ms"),
        "batch: {subsystems: [{match: net, interval: 1h}]}",
        "{}",
    )
    .replace(
        "service:\n",
        "service:\n  telemetry: {logs: {summary_interval: 50ms}}\n",
    );
    let mut child = traced(&config, &log);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut rest = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut rest).unwrap());
    lines_until(&mut stderr, |line| {
        line.contains("sweeps=") && expect_count(line, "sweeps=") >= 20
    });
    signal(&child, Signal::TERM);
    let process = child.id();
    assert!(child.wait().unwrap().success());
    assert_eq!(
        opens(&log, process, "tx_packets"),
        3,
        "at the first sweep only"
    );
    assert_eq!(reader.join().unwrap().matches("net/tx_packets{").count(), 3);
}
