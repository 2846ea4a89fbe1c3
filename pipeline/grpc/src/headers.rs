//! Headers that the user sets, as gRPC metadata.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use pipeline::{Context, Error, FileReader, RELOAD_INTERVAL, Result, Secret, Watched};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

/// What HTTP/2 has no place for ([RFC 9113, 8.2.2](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2)), or the client sets itself
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests)), beside all that begins with `grpc-`.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// The metadata of these headers, with those that are `${file:…}` as their files are then; their values are never shown.
///
/// # Errors
/// A file that cannot be read, a name that is none, is reserved or comes twice (their case makes no difference), or a value that is not printable ASCII or has blanks around it, at `headers.<name>`.
pub fn metadata(
    headers: BTreeMap<String, Secret>,
    context: &Context,
) -> Result<Arc<Watched<MetadataMap>>> {
    context.watch(RELOAD_INTERVAL, move |files| load(&headers, files))
}

fn load(headers: &BTreeMap<String, Secret>, files: &mut FileReader) -> Result<MetadataMap> {
    let mut metadata = MetadataMap::new();
    for (name, value) in headers {
        let at = format!("headers.{name}");
        let key = AsciiMetadataKey::from_str(&name.to_ascii_lowercase())
            .map_err(|_| Error::at(&at, format!("`{name}` is no header's name")))?;
        if RESERVED.contains(&key.as_str()) || key.as_str().starts_with("grpc-") {
            let text =
                format!("`{name}` is reserved: HTTP/2 and gRPC set it, or have no place for it");
            return Err(Error::at(&at, text));
        }
        if metadata.contains_key(&key) {
            let text =
                format!("`{name}` is there twice: the case of a header's name makes no difference");
            return Err(Error::at(&at, text));
        }
        let text = value.read(files).map_err(|error| Error::at(&at, error))?;
        let text = &*text;
        if text.trim_matches([' ', '\t']) != text {
            return Err(Error::at(&at, "a header's value has no blanks around it"));
        }
        let printable = Some(text).filter(|text| text.is_ascii());
        let mut value = printable
            .and_then(|text| AsciiMetadataValue::try_from(text).ok())
            .ok_or_else(|| Error::at(&at, "a header's value is printable ASCII"))?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_as_it_stands_is_refused_at_its_place() {
        let of = |name: &str, value: &str| {
            let value: Secret = serde_yaml::from_str(&format!("{value:?}")).expect("a text");
            load(
                &BTreeMap::from([(name.to_owned(), value)]),
                &mut FileReader::default(),
            )
        };
        for (name, value) in [
            ("te", "x"),
            ("Host", "x"),
            ("user-agent", "x"),
            ("grpc-timeout", "1S"),
            ("grpc-encoding", "gzip"),
            ("x-bin", "x"),
            (":authority", "x"),
            ("token", "töken"),
            ("token", " a"),
            ("token", "a\t"),
            ("token", "a\nb"),
        ] {
            let error = of(name, value).expect_err(name);
            assert_eq!(error.path(), format!("headers.{name}"));
            assert!(!error.to_string().contains("töken"), "{error}");
        }
        assert_eq!(of("X-Token", "a b").expect("it is one").len(), 1);
        let twice = "{X-Token: a, x-other: b, x-token: c}";
        let twice = serde_yaml::from_str(twice).expect("headers");
        let error = load(&twice, &mut FileReader::default())
            .expect_err("which of them is meant, nobody knows");
        assert_eq!(error.path(), "headers.x-token");
    }
}
