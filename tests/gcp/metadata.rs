//! Where the program runs, by the metadata server: one that is not ready, and what stands nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use super::hostile_metadata::{Logs, redirecting};
use super::http::{http, machine};
use super::{fake_server, gcp_config, insecure_exporter, once, program, tree};
use crate::common::{signal, spawn, text};

#[test]
fn one_that_answers_late_changes_the_resource_once_and_that_is_said() {
    for code in [404, 429, 503] {
        let server = fake_server(None);
        let is_there = Arc::new(AtomicBool::new(false));
        let is_ready = Arc::clone(&is_there);
        let metadata = http(move |path, _| {
            let value = match path.strip_prefix("/computeMetadata/v1/")? {
                _ if !is_ready.load(Ordering::Relaxed) => return Some((code, String::new())),
                "project/project-id" => "project-1",
                "instance/zone" => "projects/12/zones/europe-west1-b",
                "instance/id" => "4242",
                _ => return Some((404, String::new())),
            };
            Some((200, value.into()))
        });
        let home = tempfile::tempdir().unwrap();
        let mut command = program(home.path());
        command
            .env("GCE_METADATA_HOST", &metadata.address)
            .args(["--config", "-"]);
        let receiver = tree().replace('}', ", collection_interval: 100ms}");
        let gcp = insecure_exporter(&server, "detectors_timeout: 1s,");
        let mut child = spawn(command, &gcp_config(&receiver, &gcp, ""));
        let mut logs = Logs::of(&mut child);
        let line = logs.wait_for("did not answer in time");
        let why = if code == 404 {
            "there is no project/project-id"
        } else {
            "it answers 4"
        };
        assert!(
            line.contains(why) || line.contains("it answers 503"),
            "{line}"
        );
        let resources = |kind: &str| {
            server.fake.with(|it| {
                let keys = it.series.keys();
                keys.filter(|key| key.contains(&format!(" of {kind}{{")))
                    .count()
            })
        };
        while resources("generic_task") == 0 {
            std::thread::yield_now();
        }
        is_there.store(true, Ordering::Relaxed);
        let line = logs.wait_for("has answered after all; the resource changes");
        assert!(
            line.contains("4242") && line.contains(&metadata.address),
            "{line}"
        );
        while resources("gce_instance") == 0 {
            std::thread::yield_now();
        }
        signal(&child, Signal::TERM);
        let rest = logs.rest();
        child.wait().unwrap();
        assert!(!rest.contains("the resource changes"), "once: {rest}");
        server.fake.with(|it| {
            let ours = r#"of gce_instance{"instance_id": "4242", "zone": "europe-west1-b"}"#;
            let is_known = |key: &String| key.ends_with(ours) || key.contains(" of generic_task{");
            assert!(it.series.keys().all(is_known), "{:?}", it.series.keys());
        });
        server.fake.assert_no_violations();
    }
}

#[test]
fn nothing_stands_in_the_place_of_an_instances_id() {
    let without_id = http(|path, _| {
        let value = match path.strip_prefix("/computeMetadata/v1/")? {
            "project/project-id" => "project-1",
            "instance/zone" => "projects/12/zones/europe-west1-b",
            _ => return Some((404, String::new())),
        };
        Some((200, value.into()))
    });
    // A page to log in, for whatever is asked.
    let page = redirecting(200, String::new(), "", "<html>log in</html>".into());
    for (address, why) in [
        (without_id.address, "there is no instance/id"),
        (page, "it answers 200 OK without `Metadata-Flavor: Google`"),
    ] {
        let server = fake_server(None);
        let home = tempfile::tempdir().unwrap();
        let mut command = program(home.path());
        command.env("GCE_METADATA_HOST", address);
        let gcp = insecure_exporter(&server, "detectors_timeout: 1s,");
        let output = once(command, &gcp_config(&tree(), &gcp, ""));
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        server.fake.with(|it| {
            let mut keys = it.series.keys();
            assert!(keys.len() > 0 && keys.all(|key| key.contains(" of generic_task{")));
        });
    }
}

#[test]
fn a_node_without_a_place_is_refused_with_the_attribute_to_set() {
    let server = fake_server(None);
    let home = tempfile::tempdir().unwrap();
    let gcp = insecure_exporter(&server, "detectors: [],");
    let resource = "resource: {k8s.cluster.name: c, k8s.node.name: n}";
    let output = once(program(home.path()), &gcp_config(&tree(), &gcp, resource));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in [
        "k8s_node would have no location",
        "set `cloud.availability_zone` in `service.resource`",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(server.fake.accepted_points(), 0);
}

#[test]
fn no_proxy_of_the_environment_is_asked_for_what_this_machine_knows() {
    let proxy = http(|_, _| Some((502, String::new())));
    let metadata = machine(&[]);
    let home = tempfile::tempdir().unwrap();
    let (server, authority) = super::credentials::tls_server(home.path());
    let mut command = program(home.path());
    let address = format!("http://{}", proxy.address);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env(name, &address);
    }
    command
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("SSL_CERT_FILE", authority)
        .env("GCE_METADATA_HOST", &metadata.address);
    let gcp = format!("{{metric: {{endpoint: '{}'}}}}", server.address);
    let output = once(command, &gcp_config(&tree(), &gcp, ""));
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    // Neither what it is, nor its token.
    assert!(server.fake.accepted_points() > 0, "{stderr}");
    assert!(proxy.requests.lock().unwrap().is_empty());
}
