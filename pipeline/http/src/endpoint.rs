//! Where a server listens.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// `host:port`, or `unix:/path` for a socket in the file system. The host is a name or an address, IPv6 in brackets; none
/// means every address of this host. Port 0 is one that the kernel chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address and a port.
    Tcp {
        /// A name or an address without brackets; empty: every address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket at this absolute path.
    Unix(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path.strip_prefix("//").unwrap_or(path));
        }
        if let Some((_, rest)) = text.split_once("://") {
            let rest = rest.trim_end_matches('/');
            return Err(format!("an endpoint has no scheme and no path: `{rest}`"));
        }
        let wanted = || format!("`{text}` is neither `host:port` nor `unix:/path`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(format!(
                "an IPv6 address stands in brackets: `[{host}]:{port}`"
            ));
        }
        let host = bare.unwrap_or(host);
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "/@?#[]".contains(c);
        let is_number = port.bytes().all(|it| it.is_ascii_digit());
        match port.parse() {
            Ok(port) if is_number && !host.contains(is_odd) => Ok(Endpoint::Tcp {
                host: host.to_owned(),
                port,
            }),
            _ => Err(wanted()),
        }
    }
}

/// Linux' limit, with the zero at the end ([unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html)).
const MAX_UNIX_PATH: usize = 107;

fn unix(path: &str) -> Result<Endpoint, String> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err("a socket has an absolute path: `unix:/run/name.sock`".into());
    }
    if path.len() > MAX_UNIX_PATH {
        return Err(format!(
            "the path of a socket has {MAX_UNIX_PATH} bytes at the most"
        ));
    }
    // What begins with two would be read as `unix://` when it is written.
    let path = path.trim_start_matches('/');
    Ok(Endpoint::Unix(format!("/{path}").into()))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Endpoint, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Endpoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`host:port` or `unix:/path`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Endpoint, E> {
                text.parse().map_err(E::custom)
            }
        }

        from.deserialize_str(Text)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["127.0.0.1:9464", "[::1]:9464", "unix:/run/name.sock"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_host_and_port_or_a_socket_and_is_written_as_it_is_read() {
        for text in [
            "127.0.0.1:9464",
            "localhost:0",
            "[::1]:9464",
            ":9464",
            "unix:/run/a b.sock",
        ] {
            let endpoint = text.parse::<Endpoint>();
            assert_eq!(endpoint.map(|it| it.to_string()), Ok(text.to_owned()));
        }
        let same = "unix:///run/x".parse::<Endpoint>();
        assert_eq!(same, "unix:/run/x".parse());
        assert_eq!("unix:////run/x".parse::<Endpoint>(), same);
    }

    #[test]
    fn what_is_none_says_how_one_is_written() {
        for (text, why) in [
            ("9464", "neither `host:port`"),
            ("localhost", "neither `host:port`"),
            ("localhost:", "neither `host:port`"),
            ("localhost:+1", "neither `host:port`"),
            ("localhost:70000", "neither `host:port`"),
            ("a b:1", "neither `host:port`"),
            ("host:1/metrics", "neither `host:port`"),
            ("http://host:1/", "no scheme and no path: `host:1`"),
            ("::1:9464", "in brackets: `[::1]:9464`"),
            ("unix:run/x", "absolute path"),
            ("unix:", "absolute path"),
            ("unix:/a\0b", "absolute path"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(long.parse::<Endpoint>().is_err());
    }
}
