//! Tokens that the API does not take, and servers of tokens that do not answer.

use rustix::process::Signal;

use super::credentials::tls_server;
use super::hostile_metadata::user_of;
use super::http::{Http, TOKEN, http};
use super::{gcp_config, once, program, tree};
use crate::common::{count, signal, spawn, text};

/// A server whose tokens are numbered.
fn numbered_tokens() -> Http {
    http(|_, earlier| {
        let token = format!(
            r#"{{"access_token":"token-{earlier}","expires_in":3600,"token_type":"Bearer"}}"#
        );
        Some((200, token))
    })
}

#[test]
fn a_token_that_the_api_does_not_take_is_fetched_anew_and_no_request_fails() {
    let home = tempfile::tempdir().unwrap();
    let (server, authority) = tls_server(home.path());
    server
        .fake
        .with(|it| it.refuses_token = |token| token == "Bearer token-0");
    let tokens = numbered_tokens();
    std::fs::write(home.path().join("user.json"), user_of(&tokens.address)).unwrap();
    let mut command = program(home.path());
    command.env("SSL_CERT_FILE", authority).env(
        "GOOGLE_APPLICATION_CREDENTIALS",
        home.path().join("user.json"),
    );
    let gcp = format!(
        "{{project: p, detectors: [], metric: {{endpoint: '{}'}}}}",
        server.address
    );
    let output = once(command, &gcp_config(&tree(), &gcp, ""));
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(server.fake.accepted_points() > 0, "{stderr}");
    assert_eq!(count(&stderr, "requests_retried"), 0, "{stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
    assert_eq!(tokens.requests.lock().unwrap().len(), 2, "once more");
}

#[test]
fn where_no_token_is_taken_they_are_fetched_with_a_back_off() {
    let home = tempfile::tempdir().unwrap();
    let (server, authority) = tls_server(home.path());
    server.fake.with(|it| it.refuses_token = |_| true);
    let tokens = numbered_tokens();
    std::fs::write(home.path().join("user.json"), user_of(&tokens.address)).unwrap();
    let mut command = program(home.path());
    command
        .args(["--config", "-"])
        .env("SSL_CERT_FILE", authority)
        .env(
            "GOOGLE_APPLICATION_CREDENTIALS",
            home.path().join("user.json"),
        );
    let gcp = format!(
        "{{project: p, detectors: [], retry_on_failure: {{initial_interval: 10ms, max_interval: 10ms}}, metric: {{endpoint: '{}'}}}}",
        server.address
    );
    let child = spawn(command, &gcp_config(&tree(), &gcp, ""));
    while server.fake.with(|it| it.refused_tokens) < 50 {
        std::thread::yield_now();
    }
    let fetched = tokens.requests.lock().unwrap().len();
    assert!(fetched <= 3, "{fetched}");
    signal(&child, Signal::TERM);
    signal(&child, Signal::TERM);
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    let why = format!("{}: Unauthenticated: Request had invalid", server.address);
    assert!(stderr.contains(&why), "{stderr}");
}

#[test]
fn a_server_of_tokens_that_hangs_is_asked_again() {
    let external = |address: &str, subject: &std::path::Path| {
        format!(
            r#"{{"type":"external_account","audience":"//iam/x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"http://{address}/token","credential_source":{{"file":"{}"}}}}"#,
            subject.display()
        )
    };
    for is_external in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let (server, authority) = tls_server(home.path());
        // Google's token has a field more for an external account.
        let token = TOKEN.replace('}', r#","issued_token_type":"urn:x"}"#);
        // The first one never gets an answer.
        let tokens = http(move |_, earlier| (earlier > 0).then(|| (200, token.clone())));
        let subject = home.path().join("subject");
        std::fs::write(&subject, "subject-token").unwrap();
        let account = if is_external {
            external(&tokens.address, &subject)
        } else {
            user_of(&tokens.address)
        };
        std::fs::write(home.path().join("account.json"), account).unwrap();
        let mut command = program(home.path());
        command
            .args(["--config", "-"])
            .env("SSL_CERT_FILE", authority)
            .env(
                "GOOGLE_APPLICATION_CREDENTIALS",
                home.path().join("account.json"),
            );
        // A time-out that is shorter than the one of a token.
        let gcp = format!(
            "{{project: p, detectors: [], timeout: 3s, retry_on_failure: {{initial_interval: 10ms, max_interval: 10ms}}, metric: {{endpoint: '{}'}}}}",
            server.address
        );
        let child = spawn(command, &gcp_config(&tree(), &gcp, ""));
        while server.fake.accepted_points() == 0 {
            std::thread::yield_now();
        }
        signal(&child, Signal::TERM);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}
