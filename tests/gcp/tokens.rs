//! Tokens that the API does not take, and servers of tokens that do not answer.

use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::credentials::tls_server;
use super::hostile_metadata::user_of;
use super::http::{Http, TOKEN, http};
use super::{FakeServer, gcp_config, once, program, tree};
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

/// A far side, and the program in a home of its own with this account.
fn with_account(account: &str) -> (TempDir, FakeServer, Command) {
    let home = tempfile::tempdir().unwrap();
    let (server, authority) = tls_server(home.path());
    let file = home.path().join("account.json");
    std::fs::write(&file, account).unwrap();
    let mut command = program(home.path());
    command
        .env("SSL_CERT_FILE", authority)
        .env("GOOGLE_APPLICATION_CREDENTIALS", file);
    (home, server, command)
}

/// A configuration that sends there.
fn config(server: &FakeServer, more: &str) -> String {
    let gcp = format!(
        "{{project: p, detectors: [], {more} metric: {{endpoint: '{}'}}}}",
        server.address
    );
    gcp_config(&tree(), &gcp, "")
}

/// Trying again at once.
const RETRIES: &str = "retry_on_failure: {initial_interval: 10ms, max_interval: 10ms},";

#[test]
fn a_token_that_the_api_does_not_take_is_fetched_anew_and_no_request_fails() {
    let tokens = numbered_tokens();
    let (_home, server, command) = with_account(&user_of(&tokens.address));
    server
        .fake
        .with(|it| it.refuses_token = |token| token == "Bearer token-0");
    let output = once(command, &config(&server, ""));
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(server.fake.accepted_points() > 0, "{stderr}");
    assert_eq!(count(&stderr, "requests_retried"), 0, "{stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
    assert_eq!(tokens.requests.lock().unwrap().len(), 2, "once more");
}

#[test]
fn where_no_token_is_taken_they_are_fetched_with_a_back_off() {
    let tokens = numbered_tokens();
    let (_home, server, mut command) = with_account(&user_of(&tokens.address));
    server.fake.with(|it| it.refuses_token = |_| true);
    command.args(["--config", "-"]);
    let child = spawn(command, &config(&server, RETRIES));
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
    let subject = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(subject.path(), "subject-token").unwrap();
    let external = |address: &str| {
        format!(
            r#"{{"type":"external_account","audience":"//iam/x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"http://{address}/token","credential_source":{{"file":"{}"}}}}"#,
            subject.path().display()
        )
    };
    for account in [&user_of as &dyn Fn(&str) -> String, &external] {
        // Google's token has a field more for an external account.
        let token = TOKEN.replace('}', r#","issued_token_type":"urn:x"}"#);
        // The first one never gets an answer.
        let tokens = http(move |_, earlier| (earlier > 0).then(|| (200, token.clone())));
        let (_home, server, mut command) = with_account(&account(&tokens.address));
        command.args(["--config", "-"]);
        // A time-out that is shorter than the one of a token.
        let config = config(&server, &format!("timeout: 3s, {RETRIES}"));
        let child = spawn(command, &config);
        while server.fake.accepted_points() == 0 {
            std::thread::yield_now();
        }
        signal(&child, Signal::TERM);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}
