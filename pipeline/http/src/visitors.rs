//! Who is answered: not a page in a browser that came by a name that somebody else made lead here (DNS rebinding), and not
//! the script of a foreign page.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

/// Whom a server answers.
#[derive(Debug)]
pub(crate) struct Visitors {
    /// The hosts that requests may name, beside those of loopback; `None`: any.
    pub(crate) hosts: Option<Vec<String>>,
}

/// Why a request is not answered, for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
}

impl Refusal {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Refusal::Host => "This host is not asked for by that name: see `allowed_hosts`.\n",
            Refusal::Origin => "Pages of other origins are not answered.\n",
        }
    }
}

impl Visitors {
    /// Whether this request is answered.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let authority = authority(uri, headers);
        if let Some(hosts) = &self.hosts {
            let host = authority.map(host_of).ok_or(Refusal::Host)?;
            let is_allowed = hosts.iter().any(|it| it.eq_ignore_ascii_case(host));
            if !is_loopback(host) && !is_allowed {
                return Err(Refusal::Host);
            }
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let is_own = |origin: &http::HeaderValue| {
            let origin = origin.to_str().ok().and_then(|it| it.split_once("://"));
            let pair = origin.map(|(_, origin)| origin).zip(authority);
            pair.is_some_and(|(origin, own)| origin.eq_ignore_ascii_case(own))
        };
        if origins.all(is_own) {
            Ok(())
        } else {
            Err(Refusal::Origin)
        }
    }
}

/// What the request asks for ([RFC 9112, 3.3](https://www.rfc-editor.org/rfc/rfc9112#section-3.3)): none where that is not
/// clear.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// Without port and brackets, and without the dot at the end of a full name.
pub(crate) fn host_of(authority: &str) -> &str {
    let without_port = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => host,
        _ => authority,
    };
    let is_bare_v6 = authority.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if is_bare_v6 { authority } else { without_port };
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    bare.unwrap_or(host).trim_end_matches('.')
}

/// Whether that is a host as `allowed_hosts` has it.
pub(crate) fn is_host(text: &str) -> bool {
    let is_address = host_of(text).parse::<IpAddr>().is_ok();
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    is_address && !text.starts_with('[') || !text.is_empty() && text.chars().all(is_of_name)
}

/// Names below `localhost` never leave the host either ([RFC 6761, 6.3](https://www.rfc-editor.org/rfc/rfc6761#section-6.3)).
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_loopback_address(address);
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

/// Also as IPv6 has addresses of IPv4.
pub(crate) fn is_loopback_address(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: Option<&[&str]>, host: &str, origin: Option<&str>) -> Result<(), Refusal> {
        let hosts = hosts.map(|it| it.iter().map(|it| (*it).to_owned()).collect());
        let mut headers = HeaderMap::new();
        if !host.is_empty() {
            headers.insert(HOST, host.parse().unwrap());
        }
        headers.extend(origin.map(|it| (ORIGIN, it.parse().unwrap())));
        Visitors { hosts }.check(&Uri::from_static("/metrics"), &headers)
    }

    #[test]
    fn on_loopback_a_host_of_elsewhere_is_refused_unless_it_is_allowed() {
        for host in [
            "localhost",
            "LocalHost:9464",
            "a.localhost",
            "localhost.",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:9464",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(check(Some(&[]), host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:9464",
            "0.0.0.0",
            "[::2]",
            "localhost:x",
            "user@evil.example",
            "",
        ] {
            assert_eq!(check(Some(&[]), host, None), Err(Refusal::Host), "{host}");
        }
        let allowed: &[&str] = &["node-1.example", "10.0.0.1", "fe80::1"];
        for host in [
            "Node-1.Example:9464",
            "10.0.0.1",
            "[fe80::1]:1",
            "localhost",
        ] {
            assert_eq!(check(Some(allowed), host, None), Ok(()), "{host}");
        }
        assert_eq!(check(Some(allowed), "x", None), Err(Refusal::Host));
    }

    #[test]
    fn elsewhere_any_host_is_taken_and_a_foreign_origin_never_is() {
        assert_eq!(check(None, "any.example", None), Ok(()));
        assert_eq!(check(None, "", None), Ok(()));
        let own = Some("http://any.example:9464");
        assert_eq!(check(None, "any.example:9464", own), Ok(()));
        for origin in ["http://evil.example", "null", "http://any.example", ""] {
            let refused = check(None, "any.example:9464", Some(origin));
            assert_eq!(refused, Err(Refusal::Origin), "{origin}");
        }
        assert_eq!(check(None, "", own), Err(Refusal::Origin));
    }

    #[test]
    fn two_hosts_are_none_and_that_of_the_target_counts() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, "localhost".parse().unwrap());
        headers.append(HOST, "localhost".parse().unwrap());
        let visitors = Visitors {
            hosts: Some(Vec::new()),
        };
        let target = Uri::from_static("/");
        assert_eq!(visitors.check(&target, &headers), Err(Refusal::Host));
        headers.remove(HOST);
        headers.append(HOST, "localhost".parse().unwrap());
        assert_eq!(visitors.check(&target, &headers), Ok(()));
        let target = Uri::from_static("http://evil.example/");
        assert_eq!(visitors.check(&target, &headers), Err(Refusal::Host));
    }

    #[test]
    fn allowed_hosts_are_names_and_addresses() {
        for host in ["a", "a.example", "10.0.0.1", "::1", "my_host"] {
            assert!(is_host(host), "{host}");
        }
        for text in ["", "a:1", "a b", "[::1]", "http://a", "a/b", "*.a"] {
            assert!(!is_host(text), "{text}");
        }
    }
}
