//! Logs are as the configuration says.

use std::io::BufReader;
use std::process::Command;

use rustix::process::Signal;

use crate::common::peer::Peer;
use crate::common::{
    BINARY, collector, config, free_address, lines_until, run, signal, spawn, text,
};
use crate::lifecycle::{net, to_upstream};

#[test]
fn logs_are_as_the_configuration_says_but_for_rust_log() {
    let json = config(&net(), "batch: {}", "{}").replace(
        "service:\n",
        "service:\n  telemetry: {logs: {encoding: json}}\n",
    );
    let output = run(&json, &["--once"]);
    let lines = json_lines(&output.stderr);
    let summary = lines.last().unwrap();
    assert_eq!(summary["message"], "summary");
    assert_eq!(
        summary["points_sent"], 72,
        "a counter is a field: {summary}"
    );
    let quiet = config(&net(), "batch: {}", "{}").replace(
        "service:\n",
        "service:\n  telemetry: {logs: {level: error}}\n",
    );
    assert_eq!(text(&run(&quiet, &["--once"]).stderr), "");
    let mut command = Command::new(BINARY);
    command
        .args(["--once", "--config", "-"])
        .env("RUST_LOG", "info");
    let output = spawn(command, &quiet).wait_with_output().unwrap();
    assert!(text(&output.stderr).contains("points_sent=72"));
}

#[test]
fn at_debug_it_says_what_it_does_itself_and_where() {
    let (peer, address) = (Peer::default(), free_address());
    let _server = peer.serve(address, None, true);
    let yaml = to_upstream(&address.to_string(), "shutdown_timeout: 1m");
    let logs = |level: &str| {
        let mut command = Command::new(BINARY);
        command.args(["--once", "--config", "-"]);
        command.env("RUST_LOG", level);
        let child = spawn(command, &yaml);
        text(&child.wait_with_output().unwrap().stderr)
    };
    let debug = logs("debug");
    assert!(debug.contains(" INFO pipeline_service::"), "{debug}");
    assert!(
        !debug.contains(" h2::") && !debug.contains(" hyper"),
        "{debug}"
    );
    assert!(logs("trace").contains(" h2::"), "frames are shown at trace");
    assert!(!logs("info").contains("pipeline_service::"));
}

fn json_lines(stderr: &[u8]) -> Vec<serde_json::Value> {
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text(stderr).lines().map(parse).collect()
}

#[test]
fn where_logs_are_json_mistakes_in_the_configuration_and_the_last_error_are_too() {
    let logs = "service:\n  telemetry: {logs: {encoding: json}}\n";
    let broken = config(&net(), "batch: {timeot: 1s}", "{}").replace("service:\n", logs);
    let output = run(&broken, &[]);
    assert_eq!(output.status.code(), Some(2));
    let lines = json_lines(&output.stderr);
    let line = &lines[0];
    assert_eq!(line["error"], "unknown key `timeot`", "{line}");
    assert_eq!(line["path"], "processors.batch.timeot", "{line}");
    assert_eq!(line["help"], "did you mean `timeout`?", "{line}");
    assert_eq!(line["file"], "standard input", "{line}");
    assert!(line["line"].is_u64() && line["column"].is_u64(), "{line}");
    let nothing = config("{root: /no/such/tree}", "batch: {}", "{}").replace("service:\n", logs);
    let output = run(&nothing, &["--once"]);
    let lines = json_lines(&output.stderr);
    let last = lines.last().unwrap();
    assert_eq!(
        last["error"],
        "nothing to sweep: no point came from `statsfs`; `optional: true` allows that",
        "{last}"
    );
}

#[test]
fn the_summary_is_reported_when_something_changed() {
    let often = config(&net(), "batch: {}", "{}").replace(
        "service:\n",
        "service:\n  telemetry: {logs: {summary_interval: 30ms}}\n",
    );
    let mut child = collector(&often, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let mut summaries = 0;
    lines_until(&mut stderr, |line| {
        summaries += usize::from(line.contains("sweeps="));
        summaries == 3
    });
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}
