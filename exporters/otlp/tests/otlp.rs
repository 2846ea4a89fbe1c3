//! The contracts, and endpoints.

#![allow(clippy::unwrap_used)]

use exporter_otlp::Otlp;
use pipeline::Component;
use pipeline::config::decode;
use pipeline::testing::{
    assert_contracts, assert_exporter_forgets_tables, context, mistakes, node,
};

#[test]
fn it_keeps_the_contracts() {
    let yaml = "{endpoint: 'localhost:4317', tls: {insecure: true}, headers: {Authorization: 'Bearer x'}, compression: none}";
    assert_contracts::<Otlp>(include_str!("../README.md"), yaml, "");
}

#[tokio::test]
async fn what_is_known_of_a_table_dies_with_it() {
    // Nobody listens there: each request is encoded, and fails.
    let decoded = decode(&node("{endpoint: '127.0.0.1:1', tls: {insecure: true}}"));
    let otlp = Otlp::build(decoded.unwrap().value, &context()).unwrap();
    assert_exporter_forgets_tables(&otlp).await;
}

#[test]
fn a_user_and_a_password_in_an_endpoint_are_refused_and_not_shown() {
    for endpoint in [
        "http://user:hunter2@a:1",
        "user:hunter2@a:1",
        "https://hunter2@a",
        "http://user:hunter2@a:99999",
    ] {
        let found = mistakes::<Otlp>(&format!("{{endpoint: '{endpoint}'}}"));
        let expected = "endpoint: an endpoint has no user and no password; set `headers`";
        assert_eq!(found, [expected], "{endpoint}");
    }
}

#[test]
fn an_endpoint_that_cannot_be_meant_is_refused() {
    for endpoint in [
        "localhost",
        "",
        "ftp://a:1",
        "http://",
        "http://a:1/path",
        "a b:1",
        "a:99999",
        "a:0",
        "a:",
        "http://a",
        "https://a/",
        "[::1]",
    ] {
        let found = mistakes::<Otlp>(&format!("{{endpoint: '{endpoint}'}}"));
        assert!(
            found.len() == 1 && found[0].starts_with("endpoint: "),
            "{endpoint}: {found:?}"
        );
    }
    for endpoint in [
        "a:1",
        "http://a:80",
        "https://a:1/",
        "[::1]:4317",
        "127.0.0.1:1",
    ] {
        assert_eq!(
            mistakes::<Otlp>(&format!("{{endpoint: '{endpoint}'}}")),
            Vec::<String>::new(),
            "{endpoint}"
        );
    }
    let half = mistakes::<Otlp>("{endpoint: 'a:1', tls: {cert_file: /no/such}}");
    assert_eq!(half, ["tls.cert_file: `cert_file` needs `key_file`"]);
    let missing = mistakes::<Otlp>("{endpoint: 'a:1', tls: {ca_file: /no/such}}");
    assert!(
        missing[0].starts_with("tls.ca_file: cannot read /no/such: "),
        "{missing:?}"
    );
}
