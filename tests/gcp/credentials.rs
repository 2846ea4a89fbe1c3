//! Credentials, and the resource that is detected.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::http::{TOKEN, http, machine};
use super::{FakeServer, SECOND, fake_server, gcp_config, insecure_exporter, once, program, tree};
use crate::common::alone::{CPU, alone};
use crate::common::authority::Authority;
use crate::common::{has_program, lacks, signal, spawn, text};

/// A fake by TLS, and its authority's file.
pub(super) fn tls_server(home: &Path) -> (FakeServer, std::path::PathBuf) {
    let (authority, file) = (Authority::new("test"), home.join("ca.pem"));
    std::fs::write(&file, &authority.pem).unwrap();
    (fake_server(Some(authority.server("localhost"))), file)
}

/// Sweeps once with these credentials; its standard error, the `authorization` of the first request, and the series.
fn with_credentials(
    prepare: impl FnOnce(&mut Command, &Path),
    more: &str,
) -> (String, Option<String>, Vec<String>) {
    let home = tempfile::tempdir().unwrap();
    let (server, authority) = tls_server(home.path());
    let mut command = program(home.path());
    command.env("SSL_CERT_FILE", authority);
    prepare(&mut command, home.path());
    let gcp = format!(
        "{{{more} detectors_timeout: 1s, retry_on_failure: {{initial_interval: 100ms, max_interval: 1s}}, metric: {{endpoint: '{}'}}}}",
        server.address
    );
    let output = once(command, &gcp_config(&tree(), &gcp, ""));
    let header = server.fake.with(|it| {
        let first = it.metadata.first()?.get("authorization")?;
        Some(first.to_str().unwrap().to_owned())
    });
    let keys = server.fake.with(|it| it.series.keys().cloned().collect());
    (text(&output.stderr), header, keys)
}

#[test]
fn an_authorized_user_is_found_by_name_and_in_gclouds_own_place() {
    for named in [true, false] {
        let tokens = http(|_, _| Some((200, TOKEN.into())));
        let user = format!(
            r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","quota_project_id":"q","token_uri":"http://{}/token"}}"#,
            tokens.address
        );
        let (stderr, header, _) = with_credentials(
            |command, home| {
                let path = if named {
                    home.join("user.json")
                } else {
                    home.join(".config/gcloud/application_default_credentials.json")
                };
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &user).unwrap();
                if named {
                    command.env("GOOGLE_APPLICATION_CREDENTIALS", path);
                }
            },
            "",
        );
        assert_eq!(header.as_deref(), Some("Bearer the-token"), "{stderr}");
        assert!(
            tokens.requests.lock().unwrap()[0].contains("refresh_token"),
            "{stderr}"
        );
    }
}

#[test]
fn a_service_account_signs_for_itself() {
    if !has_program("openssl") {
        return lacks("a_service_account_signs_for_itself", "openssl");
    }
    let key = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
        .output()
        .unwrap();
    let account = format!(
        r#"{{"type":"service_account","project_id":"of-the-key","private_key_id":"k","private_key":{},"client_email":"a@p.iam.gserviceaccount.com"}}"#,
        serde_json::Value::from(text(&key.stdout))
    );
    let (stderr, header, _) = with_credentials(
        |command, home| {
            std::fs::write(home.join("key.json"), account).unwrap();
            command.env("GOOGLE_APPLICATION_CREDENTIALS", home.join("key.json"));
        },
        "",
    );
    assert!(
        header.is_some_and(|it| it.starts_with("Bearer ey") && it.matches('.').count() == 2),
        "{stderr}"
    );
}

#[test]
fn an_external_account_exchanges_its_token() {
    let tokens = http(|_, _| {
        Some((200, r#"{"access_token":"the-token","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","expires_in":3600,"token_type":"Bearer"}"#.into()))
    });
    let (stderr, header, _) = with_credentials(
        |command, home| {
            std::fs::write(home.join("subject"), "subject-token").unwrap();
            let account = format!(
                r#"{{"type":"external_account","audience":"//iam/x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"http://{}/v1/token","credential_source":{{"file":"{}"}}}}"#,
                tokens.address,
                home.join("subject").display()
            );
            std::fs::write(home.join("external.json"), account).unwrap();
            command.env("GOOGLE_APPLICATION_CREDENTIALS", home.join("external.json"));
        },
        "project: p,",
    );
    assert_eq!(header.as_deref(), Some("Bearer the-token"), "{stderr}");
    assert!(
        tokens.requests.lock().unwrap()[0].contains("subject-token"),
        "{stderr}"
    );
}

#[test]
fn a_machine_of_googles_knows_its_account_its_project_and_where_it_is() {
    // It counts on an answer of the metadata server within a second.
    let _cpu = alone(&CPU);
    for (more, resource) in [
        (
            &[][..],
            r#"gce_instance{"instance_id": "4242", "zone": "europe-west1-b"}"#,
        ),
        (
            &[
                ("instance/attributes/cluster-name", "c"),
                ("instance/attributes/cluster-location", "europe-west1"),
            ][..],
            r#"k8s_node{"cluster_name": "c", "location": "europe-west1", "node_name": "node-7"}"#,
        ),
    ] {
        let metadata = machine(more);
        let (stderr, header, keys) = with_credentials(
            |command, _| {
                command.env("GCE_METADATA_HOST", &metadata.address);
            },
            "",
        );
        assert_eq!(header.as_deref(), Some("Bearer the-token"), "{stderr}");
        assert!(
            keys.iter().all(|key| key.ends_with(resource)) && !keys.is_empty(),
            "{keys:?} {stderr}"
        );
    }
}

#[test]
fn a_metadata_server_that_does_not_answer_holds_up_nothing_but_the_queue() {
    let server = fake_server(None);
    let silent = http(|_, _| None);
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.env("GCE_METADATA_HOST", &silent.address);
    let output = once(
        command,
        &gcp_config(
            &tree(),
            &insecure_exporter(&server, "detectors_timeout: 300ms,"),
            "",
        ),
    );
    let stderr = text(&output.stderr);
    assert!(
        output.status.success()
            && stderr.contains("the metadata server did not answer in time")
            && stderr.contains("within 300ms"),
        "{stderr}"
    );
    server.fake.assert_no_violations();
    let keys: Vec<String> = server.fake.with(|it| it.series.keys().cloned().collect());
    assert!(
        keys.iter().all(|key| key.contains("of generic_task{")) && !keys.is_empty(),
        "{stderr}"
    );
}

#[test]
fn a_token_that_cannot_be_had_at_first_is_asked_for_again() {
    let tokens = http(|_, earlier| {
        Some(if earlier == 0 {
            (400, r#"{"error":"invalid_grant"}"#.into())
        } else {
            (200, TOKEN.into())
        })
    });
    let user = format!(
        r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","token_uri":"http://{}/token"}}"#,
        tokens.address
    );
    let (stderr, header, _) = with_credentials(
        |command, home| {
            std::fs::write(home.join("user.json"), user).unwrap();
            command.env("GOOGLE_APPLICATION_CREDENTIALS", home.join("user.json"));
        },
        "project: p,",
    );
    assert_eq!(header.as_deref(), Some("Bearer the-token"), "{stderr}");
    assert!(
        stderr.contains("there is no token: ") && stderr.contains("tokens are given again"),
        "{stderr}"
    );
}

#[test]
fn a_token_is_fetched_anew_before_it_ends() {
    let home = tempfile::tempdir().unwrap();
    let (server, authority) = tls_server(home.path());
    server.fake.with(|it| it.interval = SECOND);
    // Four minutes before its end a token is fetched anew: that is in a second.
    let tokens = http(|_, earlier| {
        Some((
            200,
            format!(
                r#"{{"access_token":"token-{earlier}","expires_in":241,"token_type":"Bearer"}}"#
            ),
        ))
    });
    let user = format!(
        r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","token_uri":"http://{}/token"}}"#,
        tokens.address
    );
    std::fs::write(home.path().join("user.json"), user).unwrap();
    let mut command = program(home.path());
    command
        .args(["--config", "-"])
        .env("SSL_CERT_FILE", authority);
    command.env(
        "GOOGLE_APPLICATION_CREDENTIALS",
        home.path().join("user.json"),
    );
    let receiver = tree().replace('}', ", collection_interval: 1s}");
    let gcp = format!(
        "{{project: p, metric: {{endpoint: '{}', min_interval: 1s}}}}",
        server.address
    );
    let child = spawn(command, &gcp_config(&receiver, &gcp, ""));
    let is_new = |it: &tonic::metadata::MetadataMap| {
        it.get("authorization")
            .is_some_and(|it| it == "Bearer token-1")
    };
    while !server.fake.with(|it| it.metadata.iter().any(is_new)) {
        std::thread::yield_now();
    }
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    server.fake.assert_no_violations();
}
