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

pub(crate) fn net() -> String {
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
        // One that is ignored from the start stays so, as below `nohup`: the tests may run there.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", BINARY, "--config", "-"]);
        let mut child = spawn(command, &config(&net(), "metadata: {}; batch: {}", "{}"));
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

pub(crate) fn to_upstream(address: &str, service: &str) -> String {
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
