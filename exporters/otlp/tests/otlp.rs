//! The contracts, and endpoints.

use exporter_otlp::Otlp;
use pipeline::testing::{assert_contracts, mistakes};

#[test]
fn it_keeps_the_contracts() {
    let yaml = "{endpoint: 'localhost:4317', tls: {insecure: true}, headers: {Authorization: 'Bearer x'}, compression: none}";
    assert_contracts::<Otlp>(include_str!("../README.md"), yaml, "");
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
    ] {
        let found = mistakes::<Otlp>(&format!("{{endpoint: '{endpoint}'}}"));
        assert!(
            found.len() == 1 && found[0].starts_with("endpoint: "),
            "{endpoint}: {found:?}"
        );
    }
    for endpoint in [
        "a:1",
        "http://a",
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
