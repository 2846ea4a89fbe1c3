//! Headers that the user sets, as gRPC metadata.

use std::collections::BTreeMap;
use std::str::FromStr;

use pipeline::{Error, Result, Secret};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

/// The metadata of these headers; their values are never shown.
///
/// # Errors
/// A name that is none, or a value that is not printable ASCII, at `headers.<name>`.
pub fn metadata(headers: &BTreeMap<String, Secret>) -> Result<MetadataMap> {
    let mut metadata = MetadataMap::new();
    for (name, value) in headers {
        let at = format!("headers.{name}");
        let key = AsciiMetadataKey::from_str(&name.to_ascii_lowercase())
            .map_err(|_| Error::at(&at, format!("`{name}` is no header's name")))?;
        let mut value = AsciiMetadataValue::try_from(value.expose())
            .map_err(|_| Error::at(&at, "a header's value is printable ASCII"))?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    Ok(metadata)
}
