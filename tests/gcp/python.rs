//! The real program to a far side that is made of Google's own Python package: another reading of the same documents.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::Signal;

use crate::common::{count, lacks, repository, signal, spawn, text};
use crate::{program, to, tree};

/// The far side; ended, it says what it took.
struct Google {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    port: String,
}

/// It, with these options; none where Google's package is not installed.
fn google(test: &str, options: &[&str]) -> Option<Google> {
    let python = repository(".tools/gcp/bin/python");
    let mut command = Command::new(&python);
    command
        .arg(repository("tests/gcp/cloud_monitoring.py"))
        .args(options);
    let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        lacks(
            test,
            "google-cloud-monitoring in .tools/gcp, which .ci/run installs",
        );
        return None;
    };
    let asks = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let mut port = String::new();
    answers.read_line(&mut port).unwrap();
    Some(Google {
        child,
        asks,
        answers,
        port: port.trim().into(),
    })
}

impl Google {
    /// How many points the series with the most has.
    fn most(&mut self) -> u64 {
        writeln!(self.asks).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    fn end(mut self) -> serde_json::Value {
        drop(self.asks);
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        self.child.wait().unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// Sweeps each second until a series has three points; what the program told, and what Google took.
fn sweep(mut google: Google) -> (String, serde_json::Value) {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.args(["--config", "-"]);
    let gcp = format!(
        "{{project: p, detectors: [], retry_on_failure: {{initial_interval: 50ms, max_interval: 50ms}}, metric: {{endpoint: 'localhost:{}', use_insecure: true, compression: gzip, prefix: custom.googleapis.com, min_interval: 1s}}}}",
        google.port
    );
    let receiver = tree().replace('}', ", collection_interval: 1s}");
    let child = spawn(command, &to(&receiver, &gcp, ""));
    while google.most() < 3 {
        std::thread::yield_now();
    }
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    let handed = ["points_sent", "points_rejected", "points_dropped"].map(|it| count(&told, it));
    assert_eq!(
        count(&told, "points_handed"),
        handed.iter().sum::<u64>(),
        "{told}"
    );
    (told, google.end())
}

#[test]
fn it_obeys_googles_own_package() {
    let name = "it_obeys_googles_own_package";
    let Some(google) = google(name, &["--interval", "1", "--away", "3"]) else {
        return;
    };
    let (told, took) = sweep(google);
    assert_eq!(took["broken"], serde_json::json!([]), "{told}");
    assert_eq!(took["taken"], count(&told, "points_sent"), "{told}");
    assert_eq!(count(&told, "points_rejected"), 0, "{told}");
    assert!(count(&told, "requests_retried") > 0, "{told}");
}

#[test]
fn what_googles_own_package_refuses_costs_its_neighbours_nothing() {
    let name = "what_googles_own_package_refuses_costs_its_neighbours_nothing";
    let there = "custom.googleapis.com/kvm/exits=GAUGE";
    let options = ["--interval", "1", "--refuse", "4242-11", "--there", there];
    let Some(google) = google(name, &options) else {
        return;
    };
    let (told, took) = sweep(google);
    assert_eq!(took["broken"], serde_json::json!([]), "{told}");
    assert_eq!(took["taken"], count(&told, "points_sent"), "{told}");
    assert!(count(&told, "points_rejected") > 0, "{told}");
    assert!(
        told.contains("is refused: Unrecognized metric label."),
        "{told}"
    );
    assert!(
        told.contains(
            "but the descriptor of custom.googleapis.com/kvm/exits in project p is GAUGE INT64"
        ),
        "{told}"
    );
}
