//! Where a server listens, and whom it answers. The two files themselves: their crate has TLS, which would be most of what
//! is built.

#![no_main]
#![allow(dead_code)] // of the two files

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Uri};

#[path = "../../pipeline/http/src/endpoint.rs"]
mod endpoint;
#[path = "../../pipeline/http/src/visitors.rs"]
mod visitors;

use endpoint::Endpoint;
use visitors::{Visitors, is_host};

/// An endpoint that is taken is written as one that is taken for the same.
fn check_endpoint(text: &str) {
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        assert_eq!(endpoint.to_string().parse(), Ok(endpoint), "{text:?}");
    }
}

/// Who is answered on loopback asks for loopback, by a name or an address that nobody else can have, and comes from no page
/// of another origin.
fn check_visitor(target: &str, host: &[u8], origin: &[u8]) {
    let (Ok(target), Ok(host)) = (target.parse::<Uri>(), HeaderValue::from_bytes(host)) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(HOST, host.clone());
    let is_answered =
        |headers: &HeaderMap, hosts| Visitors { hosts }.check(&target, headers).is_ok();
    if is_answered(&headers, Some(Vec::new())) {
        let host = host.to_str().unwrap_or_default();
        let asked = target.authority().map_or(host, |it| it.as_str());
        let asked = asked.to_ascii_lowercase();
        let is_v6 = asked.matches(':').count() > 1 && !asked.contains(|c: char| c > 'f');
        let is_name = asked.contains("localhost") || asked.contains("127.");
        assert!(is_v6 || is_name, "{asked:?}");
    }
    let Ok(origin) = HeaderValue::from_bytes(origin) else {
        return;
    };
    headers.insert(ORIGIN, origin.clone());
    if is_answered(&headers, None) {
        let origin = origin.to_str().expect("what is no text has no host");
        assert!(origin.contains("://"), "{origin:?}");
    }
}

libfuzzer_sys::fuzz_target!(|input: (&str, &str, &[u8], &[u8])| {
    let (endpoint, target, host, origin) = input;
    check_endpoint(endpoint);
    is_host(endpoint);
    check_visitor(target, host, origin);
});
