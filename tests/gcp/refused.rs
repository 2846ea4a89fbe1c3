//! What the API refuses, as the user sees it: for the time being, after a restart, and from the start on.

use rustix::process::Signal;
use tonic::Code;

use super::credentials::tls_server;
use super::hostile_metadata::{Logs, user_of};
use super::http::{TOKEN, http};
use super::{fake_server, gcp_config, insecure_exporter, once, program, tree};
use crate::common::{assert_fault, count, free_address, signal, spawn, text};

#[test]
fn a_series_that_is_refused_for_now_costs_its_neighbours_nothing() {
    let server = fake_server(None);
    server.fake.with(|it| {
        it.interval = super::SECOND / 10;
        it.reject = Box::new(|key| {
            let quota = || (Code::ResourceExhausted, "Quota exceeded.".to_owned());
            key.contains("4242-11").then(quota)
        });
    });
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.args(["--config", "-"]);
    let receiver = tree().replace('}', ", collection_interval: 100ms}");
    let gcp = insecure_exporter(&server, "detectors: [],").replace(
        "use_insecure: true",
        "use_insecure: true, min_interval: 100ms",
    );
    let mut child = spawn(command, &gcp_config(&receiver, &gcp, ""));
    let mut logs = Logs::of(&mut child);
    let line = logs.wait_for("series refused by the API for the time being");
    assert!(
        line.contains("Quota exceeded.") && line.contains("4242-11"),
        "{line}"
    );
    let points = |word: &str| {
        server.fake.with(|it| {
            let series = it.series.iter().filter(|(key, _)| key.contains(word));
            series.map(|(_, points)| points.len()).max()
        })
    };
    while points("kvm/") < Some(10) {
        std::thread::yield_now();
    }
    assert_eq!(points("4242-11"), None);
    server.fake.with(|it| it.reject = Box::new(|_| None));
    signal(&child, Signal::TERM);
    let stderr = logs.rest();
    assert!(child.wait().unwrap().success(), "{stderr}");
    assert!(points("4242-11") > None, "it was waited for: {stderr}");
    server.fake.assert_no_violations();
    assert_eq!(
        count(&stderr, "points_sent"),
        server.fake.accepted_points() as u64,
        "{stderr}"
    );
    for part in ["sending fails", "sending works again"] {
        assert!(!stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(count(&stderr, "requests_retried"), 0, "{stderr}");
    assert_fault(
        "Cloud Monitoring refuses a series for the time being",
        "of that series what a newer point stands for; nothing of its neighbours",
        &stderr,
        &["coalesced=N"],
    );
}

#[test]
fn descriptors_that_cannot_be_created_cost_no_point() {
    for code in [Code::ResourceExhausted, Code::Internal] {
        let server = fake_server(None);
        server.fake.with(|it| {
            it.auto_create = true;
            it.descriptor_error = Some(tonic::Status::new(code, "as the test has it"));
        });
        let home = tempfile::tempdir().unwrap();
        let gcp = insecure_exporter(&server, "detectors: [],");
        // Without kinds each is a gauge, of which the first point goes too.
        let config = gcp_config(&tree(), &gcp, "")
            .replace("metadata: {}\n", "")
            .replace("[metadata, batch]", "[batch]");
        let output = once(program(home.path()), &config);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        server.fake.assert_no_violations();
        assert_eq!(
            count(&stderr, "points_sent"),
            server.fake.accepted_points() as u64,
            "{stderr}"
        );
        assert!(
            stderr.contains("descriptors of metrics cannot be created now"),
            "{stderr}"
        );
        assert_fault(
            "Cloud Monitoring creates no descriptors for the time being",
            "nothing: points go without, and descriptors are tried again",
            &stderr,
            &[],
        );
    }
}

#[test]
fn a_restart_within_the_interval_is_one_warning() {
    let server = fake_server(None);
    let home = tempfile::tempdir().unwrap();
    let gcp = insecure_exporter(&server, "detectors: [],");
    let config = gcp_config(&tree(), &gcp, "");
    // However long the two take.
    server.fake.with(|it| it.interval = 3_600 * super::SECOND);
    let first = once(program(home.path()), &config);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let output = once(program(home.path()), &config);
    let stderr = text(&output.stderr);
    assert!(count(&stderr, "points_rejected") > 10, "{stderr}");
    let warnings: Vec<_> = stderr
        .lines()
        .filter(|it| it.contains("rejected by the API"))
        .collect();
    assert!(
        matches!(warnings[..], [one] if one.contains("started anew within 10s")),
        "{stderr}"
    );
}

#[test]
fn a_label_that_the_exporter_sets_too_is_said_once() {
    let server = fake_server(None);
    let home = tempfile::tempdir().unwrap();
    let gcp = insecure_exporter(&server, "detectors: [],");
    let config = gcp_config(&tree(), &gcp, "").replace(
        "metadata: {}",
        "labels: {actions: [{set: {label: service_name, value: mine}}]}",
    );
    let config = config.replace("[metadata, batch]", "[labels, batch]");
    let output = once(program(home.path()), &config);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let said = stderr
        .matches("service_name is exported_service_name")
        .count();
    assert_eq!(said, 1, "{stderr}");
    server.fake.with(|it| {
        let label = r#""exported_service_name": "mine""#;
        assert!(it.series.len() > 10 && it.series.keys().all(|key| key.contains(label)));
    });
}

#[test]
fn an_error_names_the_address() {
    let home = tempfile::tempdir().unwrap();
    let address = free_address();
    let gcp = format!(
        "{{project: p, detectors: [], retry_on_failure: {{enabled: false}}, metric: {{endpoint: '{address}', use_insecure: true}}}}"
    );
    let output = once(program(home.path()), &gcp_config(&tree(), &gcp, ""));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!("{address}: Unavailable: ")),
        "{stderr}"
    );
}

#[test]
fn an_endpoint_may_have_an_authority_and_a_name_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let (server, authority) = tls_server(home.path());
    let tokens = http(|_, _| Some((200, TOKEN.into())));
    std::fs::write(home.path().join("user.json"), user_of(&tokens.address)).unwrap();
    let address = server.address.replace("localhost", "127.0.0.1");
    let ca_file = format!("ca_file: {}", authority.display());
    for (more, is_known) in [
        (format!("{ca_file}, server_name_override: localhost"), true),
        (ca_file, false),
        ("server_name_override: localhost".to_owned(), false),
    ] {
        let mut command = program(home.path());
        let user = home.path().join("user.json");
        command.env("GOOGLE_APPLICATION_CREDENTIALS", user);
        let gcp = format!(
            "{{project: p, detectors: [], retry_on_failure: {{enabled: false}}, metric: {{endpoint: '{address}', {more}}}}}"
        );
        let output = once(command, &gcp_config(&tree(), &gcp, ""));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.success(), is_known, "{more}: {stderr}");
        assert_eq!(
            stderr.contains("certificate"),
            !is_known,
            "{more}: {stderr}"
        );
    }
    assert!(server.fake.accepted_points() > 0);
}
