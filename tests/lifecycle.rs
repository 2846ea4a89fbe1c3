//! Starting, stopping, and what the exit code says.

use std::io::{BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::alone::{KVM, alone};
use crate::common::peer::Peer;
use crate::common::{
    self, BINARY, collector, config, count, count_after, free_address, lacks, lines_until,
    read_until, repository, run, signal, spawn, text,
};

fn net() -> String {
    format!(
        "{{collection_interval: 20ms, root: {}}}",
        repository("tests/fixtures/net-statsfs/sys/kernel/stats").display()
    )
}

#[test]
fn without_arguments_it_sweeps_what_this_kernel_has() {
    // The default sweeps debugfs.
    let _kvm = alone(&KVM);
    let mut child = spawn(Command::new(BINARY), "");
    let lines = read_until(&mut child, |line| {
        line.starts_with("net/tx_window_errors{device=lo}")
    });
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("net/rx_bytes{device=lo} ")
                && line.ends_with(" counter By")),
        "{lines:?}"
    );
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stderr = text(&output.stderr);
    assert_eq!(
        stderr.matches("sweeping ").count(),
        1,
        "one line says what it sweeps: {stderr}"
    );
    // No kernel has all that the default looks for.
    assert!(
        stderr.contains(" INFO sweeping ") && !stderr.contains("WARN it has no series"),
        "{stderr}"
    );
    assert!(
        stderr.contains("net (") && stderr.contains("points_sent="),
        "{stderr}"
    );
}

#[test]
fn each_signal_drains_and_exits_0() {
    for stop in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut child = collector(&config(&net(), "metadata: {}; batch: {}", "{}"), &[]);
        read_until(&mut child, |line| line.starts_with("net/"));
        signal(&child, stop);
        let output = child.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let count = |pattern: &str| {
            common::find_count(&stderr, pattern).unwrap_or_else(|| panic!("{pattern}: {stderr}"))
        };
        assert_eq!(
            count(" points_read="),
            count(" points_sent="),
            "all that was read was sent: {stderr}"
        );
        assert_eq!(count(" points_queued="), 0, "{stderr}");
    }
}

/// An upstream that takes connections and never answers.
fn silent_upstream() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn to_upstream(address: &str, service: &str) -> String {
    config(&net(), "batch: {}", "{}")
        .replace(
            "stdout: {}",
            &format!("otlp: {{endpoint: '{address}', tls: {{insecure: true}}}}"),
        )
        .replace("[stdout]", "[otlp]")
        .replace("service:\n", &format!("service:\n  {service}\n"))
}

#[test]
fn a_second_signal_ends_at_once_unless_it_comes_with_the_first() {
    let (_listener, address) = silent_upstream();
    let mut child = collector(&to_upstream(&address, "shutdown_timeout: 1h"), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains("sweeping"));
    let first = Instant::now();
    signal(&child, Signal::TERM);
    // It hears the second one only once it has heard the first: until it has, another does no harm.
    while child.try_wait().unwrap().is_none() {
        signal(&child, Signal::INT);
        std::thread::yield_now();
    }
    assert!(first.elapsed() >= Duration::from_secs(1));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("are lost"), "{rest}");
    common::assert_fault(
        "the program is told to end a second time, a second or more after the first",
        "what is queued: it ends at once",
        &rest,
        &["shutdown=N"],
    );
}

#[test]
fn below_nohup_sighup_ends_nothing() {
    if !common::has_program("nohup") {
        return lacks("below_nohup_sighup_ends_nothing", "nohup");
    }
    let mut command = Command::new("nohup");
    command.args([BINARY, "--config", "-"]);
    let mut child = spawn(command, &config(&net(), "batch: {}", "{}"));
    read_until(&mut child, |line| line.starts_with("net/"));
    signal(&child, Signal::HUP);
    let mut sweeps = 0;
    read_until(&mut child, |line| {
        sweeps += usize::from(line.starts_with("net/collisions{device=/lo}"));
        sweeps == 5
    });
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn an_exporter_whose_reader_goes_away_is_that_exporters_end() {
    let (peer, address) = (Peer::default(), free_address());
    let _server = peer.serve(address, None, true);
    let yaml = to_upstream(&address.to_string(), "shutdown_timeout: 1m")
        .replace("exporters:\n", "exporters:\n  stdout: {}\n")
        .replace("[otlp]", "[otlp, stdout]");
    let mut child = collector(&yaml, &[]);
    read_until(&mut child, |_| true);
    drop(child.stdout.take());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains("it has ended"));
    let before = peer.received.lock().unwrap().len();
    while peer.received.lock().unwrap().len() < before + 10 {
        std::thread::yield_now();
    }
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(!rest.contains("it has ended"), "said once: {rest}");
    let of_the_other = count(&rest, "points_read");
    let [sent, closed] = [" points_sent=", "closed="].map(|it| count_after(&rest, it));
    assert_eq!(2 * of_the_other, sent + closed, "{rest}");
    assert!(sent > of_the_other && closed > 0, "{rest}");
    common::assert_fault(
        "nobody reads standard output any more, and there is another exporter",
        "what standard output would have shown; nothing of the other exporter",
        &rest,
        &["closed=N"],
    );
}

#[test]
fn a_signal_while_an_exporter_starts_ends_it() {
    // Its metadata server takes connections and never answers.
    let (_listener, address) = silent_upstream();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--config", "-"]).env("HOME", home.path());
    command.env("GCE_METADATA_HOST", &address);
    let yaml = config(&net(), "batch: {}", "{}").replace("stdout: {}", "gcp: {}");
    let child = spawn(command, &yaml.replace("[stdout]", "[gcp]"));
    // It listens to signals before it starts anything.
    let caught = |child: &Child| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = status.lines().find_map(|it| it.strip_prefix("SigCgt:"));
        u64::from_str_radix(mask.unwrap().trim(), 16).unwrap() & 1 << 14 != 0
    };
    while !caught(&child) {
        std::thread::yield_now();
    }
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn once_says_how_much_was_lost_when_the_peer_cannot_be_reached() {
    let output = run(
        &to_upstream(&free_address().to_string(), "shutdown_timeout: 300ms"),
        &["--once"],
    );
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("72 points are lost") && stderr.contains("shutdown=72"),
        "{stderr}"
    );
    assert!(
        stderr.contains("onnection refused"),
        "the cause is in the log: {stderr}"
    );
}

#[test]
fn once_with_nothing_to_sweep_exits_1() {
    let output = run(
        &config("{root: /no/such/tree}", "batch: {}", "{}"),
        &["--once"],
    );
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("detail=\"/no/such/tree (no such directory)\"")
            && stderr.contains("nothing to sweep"),
        "{stderr}"
    );
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut child = collector(&config(&net(), "batch: {}", "{}"), &[]);
    read_until(&mut child, |_| true);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        !text(&output.stderr).contains("ERROR"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_root_that_comes_later_is_found_at_a_rescan() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("later");
    let receiver = format!(
        "{{collection_interval: 20ms, rescan_interval: 40ms, root: {}}}",
        root.display()
    );
    let mut child = collector(&config(&receiver, "batch: {}", "{}"), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains("missing="));
    std::fs::create_dir_all(root.join("s")).unwrap();
    std::fs::write(root.join("s/f"), "1\n").unwrap();
    read_until(&mut child, |line| line == "s/f{device=\"\"} 1");
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("is there now"), "{rest}");
    assert!(!rest.contains("missing="), "warned of once: {rest}");
    assert!(child.wait().unwrap().success());
}

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

#[test]
fn it_runs_as_any_user() {
    if !common::is_root() {
        return; // every other test has shown it
    }
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    let Some(mut command) = common::as_nobody("it_runs_as_any_user", &directory) else {
        return;
    };
    let output = command.arg("--once").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("net/rx_bytes{device=lo}"));
}
