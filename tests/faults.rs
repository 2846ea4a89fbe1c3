//! What is lost when the program itself, its host or what it reads fails; the upstream's faults have tests of their own.

use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::common::peer::{INSECURE, Peer, assert_accounted, otlp_config};
use crate::common::{
    self, BINARY, assert_fault, collector, config, count, free_address, lines_until, read_until,
    signal, spawn, text,
};

fn show(root: &Path, directory: &str, value: &str) {
    fs::create_dir_all(root.join(directory)).unwrap();
    // Replaced, as a writer that never shows half a number does it.
    fs::write(root.join("next"), format!("{value}\n")).unwrap();
    fs::rename(root.join("next"), root.join(directory).join("c")).unwrap();
}

fn receiver(root: &Path) -> String {
    format!("{{collection_interval: 20ms, root: {}}}", root.display())
}

#[test]
fn what_waits_in_the_queue_of_a_program_that_is_killed_is_lost() {
    let tree = tempfile::tempdir().unwrap();
    let (peer, address) = (Peer::default(), free_address());
    let config = otlp_config(&receiver(tree.path()), &address.to_string(), INSECURE);
    show(tree.path(), "s", "1");
    let mut killed = collector(&config, &[]);
    let mut stderr = BufReader::new(killed.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains("sending fails"));
    signal(&killed, Signal::KILL);
    killed.wait().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "it has no last word");

    let _server = peer.serve(address, None, true);
    show(tree.path(), "s", "2");
    let child = collector(&config, &[]);
    while peer.values().is_empty() {
        std::thread::yield_now();
    }
    signal(&child, Signal::TERM);
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    assert!(peer.values().iter().all(|it| *it == 2), "{stderr}");
    assert_eq!(count(&stderr, "points_sent"), peer.values().len() as u64);
    assert_fault(
        "the program is killed (`kill -9`)",
        "what is in its queue",
        &stderr,
        &["nobody is there to count; the program that is started next begins at 0"],
    );
}

#[test]
fn what_a_full_disk_does_not_take_is_counted() {
    let tree = tempfile::tempdir().unwrap();
    show(tree.path(), "s", "1");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" --once --config - >/dev/full", BINARY]);
    let config = config(&receiver(tree.path()), "batch: {}", "{}");
    let output = spawn(command, &config).wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "the disk is full that standard output goes to",
        "what is written while it is: here one point",
        &stderr,
        &["permanent=1"],
    );
}

#[test]
fn what_was_not_written_when_the_reader_went_is_counted() {
    let tree = tempfile::tempdir().unwrap();
    show(tree.path(), "s", "1");
    let config = config(&receiver(tree.path()), "batch: {}", "{}");
    let mut child = collector(&config, &[]);
    read_until(&mut child, |_| true);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    // Some is dropped before it is handed over: nobody is there to take it.
    let [read, sent, dropped] =
        ["points_read", "points_sent", "points_dropped"].map(|name| count(&stderr, name));
    assert_eq!(read, sent + dropped, "{stderr}");
    assert_fault(
        "the reader of standard output goes away",
        "what is written after that; the program ends",
        &stderr,
        &["closed=N"],
    );
}

#[test]
fn a_device_that_vanishes_ends_and_costs_no_other() {
    let tree = tempfile::tempdir().unwrap();
    show(tree.path(), "s/stays", "1");
    show(tree.path(), "s/goes", "2");
    let config = config(&receiver(tree.path()), "batch: {}", "{}");
    let mut child = collector(&config, &[]);
    read_until(&mut child, |line| line == "s/c{device=/goes} 2");
    fs::remove_dir_all(tree.path().join("s/goes")).unwrap();
    read_until(&mut child, |line| line == "s/c{device=/goes} end");
    let lines = read_until(&mut child, |line| line == "s/c{device=/stays} 1");
    assert!(!lines.iter().any(|it| it.contains("goes")), "{lines:?}");
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(count(&stderr, "files_failed"), 0, "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "a device vanishes",
        "nothing: its series end, each with a point that says so",
        &stderr,
        &[],
    );
}

#[test]
fn a_file_that_makes_no_sense_costs_its_own_points_only() {
    let tree = tempfile::tempdir().unwrap();
    show(tree.path(), "s/good", "1");
    show(tree.path(), "s/bad", "no number");
    let config = config(&receiver(tree.path()), "batch: {}", "{}");
    let output = common::run(&config, &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(common::lines(&output.stdout), ["s/c{device=/good} 1"]);
    assert_accounted(&stderr);
    assert_fault(
        "a file cannot be read, or is no number",
        "its own value, until it can; it is tried ever more rarely, and at each rescan",
        &stderr,
        &["files_failed=1"],
    );
}

#[test]
fn sweeps_that_are_due_while_a_full_queue_waits_are_skipped_and_counted() {
    let tree = tempfile::tempdir().unwrap();
    show(tree.path(), "s", "1");
    let (peer, address) = (Peer::default(), free_address());
    let more = format!("{INSECURE}, sending_queue: {{queue_size: 1, block_on_overflow: true}}");
    let config = otlp_config(&receiver(tree.path()), &address.to_string(), &more).replace(
        "service:\n",
        "service:\n  channel_capacity: 1\n  telemetry: {logs: {summary_interval: 50ms}}\n",
    );
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    // Away for much longer than it takes to fill what stands between; what was skipped is counted when it moves again.
    lines_until(&mut stderr, |line| count(line, "requests_retried") >= 50);
    let _server = peer.serve(address, None, true);
    lines_until(&mut stderr, |line| count(line, "sweeps_skipped") > 0);
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert_eq!(count(&rest, "points_dropped"), 0, "{rest}");
    assert_accounted(&rest);
    assert_fault(
        "the sending queue is full, with `block_on_overflow`",
        "nothing that was read: sweeps that are due meanwhile are left out",
        &rest,
        &["sweeps_skipped=N"],
    );
}

/// All Rust below this folder.
fn add_sources(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("fixtures") {
            add_sources(&path, sources);
        } else if path.extension().is_some_and(|it| it == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_row_of_the_table_of_faults_is_made_by_a_test() {
    let mut sources = String::new();
    add_sources(&common::repository("tests"), &mut sources);
    let table = fs::read_to_string(common::repository("docs/faults.md")).unwrap();
    let rows = table.lines().filter_map(|it| it.strip_prefix("| "));
    for row in rows.skip(1) {
        let name = row.split(" | ").next().unwrap();
        assert!(sources.contains(&format!("\"{name}\",")), "{name}");
    }
}
