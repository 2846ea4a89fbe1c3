//! The real program to a server that is made of Google's own Python package: another reading of the same documents.

use gcp_fake::python::{PYTHON_REQUIREMENT, PythonFake};
use rustix::process::Signal;
use serde_json::json;

use super::{gcp_config, program, tree};
use crate::common::alone::{KVM, alone};
use crate::common::{count, lacks, repository, signal, spawn, text};

/// The server with these settings; `None` where it is not installed.
fn google(test: &str, settings: &serde_json::Value) -> Option<PythonFake> {
    let google = PythonFake::start();
    match &google {
        Some(google) => drop(google.control(settings)),
        None => lacks(test, PYTHON_REQUIREMENT),
    }
    google
}

/// The settings of an exporter to it.
fn exporter(google: &PythonFake) -> String {
    format!(
        "{{project: p, detectors: [], retry_on_failure: {{initial_interval: 50ms, max_interval: 50ms}}, metric: {{endpoint: 'localhost:{}', use_insecure: true, compression: gzip, prefix: custom.googleapis.com, min_interval: 1s}}}}",
        google.port
    )
}

/// Each point that was handed over is accounted for, and Google took what was sent, without a rule broken.
fn assert_accounted(stderr: &str, took: &serde_json::Value) {
    let handed = ["points_sent", "points_rejected", "points_dropped"].map(|it| count(stderr, it));
    let all = handed.iter().sum::<u64>();
    assert_eq!(count(stderr, "points_handed"), all, "{stderr}");
    assert_eq!(took["violations"], json!([]), "{stderr}");
    assert_eq!(took["accepted"], count(stderr, "points_sent"), "{stderr}");
}

/// Sweeps each second until a series has three points; its standard error, and what Google took.
fn sweep(google: &PythonFake) -> (String, serde_json::Value) {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.args(["--config", "-"]);
    let receiver = tree().replace('}', ", collection_interval: 1s}");
    let child = spawn(command, &gcp_config(&receiver, &exporter(google), ""));
    let has_three = |took: &serde_json::Value| {
        let mut points = took["points"].as_object().unwrap().values();
        points.any(|it| it.as_u64() >= Some(3))
    };
    while !has_three(&google.report()) {
        std::thread::yield_now();
    }
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let took = google.report();
    assert_accounted(&stderr, &took);
    (stderr, took)
}

#[test]
fn a_vm_host_sweeps_into_googles_own_package() {
    let name = "a_vm_host_sweeps_into_googles_own_package";
    let away = json!({"interval": 1, "fail": ["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"]});
    let Some(google) = google(name, &away) else {
        return;
    };
    let (stderr, _) = sweep(&google);
    assert_eq!(count(&stderr, "points_rejected"), 0, "{stderr}");
    assert!(count(&stderr, "requests_retried") > 0, "{stderr}");
}

#[test]
fn the_embedded_default_goes_to_googles_own_package_as_it_is() {
    // The default sweeps debugfs.
    let _kvm = alone(&KVM);
    let name = "the_embedded_default_goes_to_googles_own_package_as_it_is";
    let Some(google) = google(name, &json!({})) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    let default = repository("configs/default.yaml");
    command.args(["--once", "--config", default.to_str().unwrap(), "--set"]);
    command.arg(format!("exporters={{gcp: {}}}", exporter(&google)));
    command.args(["--set", "service.pipelines.metrics.exporters=[gcp]"]);
    let output = spawn(command, "").wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_accounted(&stderr, &google.report());
    assert!(count(&stderr, "points_sent") > 0, "{stderr}");
}

#[test]
fn what_googles_own_package_refuses_costs_its_neighbours_nothing() {
    let name = "what_googles_own_package_refuses_costs_its_neighbours_nothing";
    let refuse = json!({
        "interval": 1,
        "reject": ["4242-11", "INVALID_ARGUMENT", "Unrecognized metric label.", -1],
        "descriptors": {"custom.googleapis.com/kvm/exits": ["GAUGE", "INT64"]},
    });
    let Some(google) = google(name, &refuse) else {
        return;
    };
    let (stderr, _) = sweep(&google);
    assert!(count(&stderr, "points_rejected") > 0, "{stderr}");
    assert!(
        stderr.contains("series rejected by the API")
            && stderr.contains("detail=\"Unrecognized metric label."),
        "{stderr}"
    );
    assert!(
        stderr.contains(
            "but the descriptor of custom.googleapis.com/kvm/exits in project p is GAUGE INT64"
        ),
        "{stderr}"
    );
}
