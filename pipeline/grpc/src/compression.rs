//! How requests are compressed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::codec::CompressionEncoding;

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// zstd: as small as gzip, at a tenth of the time.
    #[default]
    Zstd,
    /// gzip.
    Gzip,
    /// Not at all.
    None,
}

impl Compression {
    /// What tonic knows it as.
    #[must_use]
    pub fn encoding(self) -> Option<CompressionEncoding> {
        match self {
            Compression::Zstd => Some(CompressionEncoding::Zstd),
            Compression::Gzip => Some(CompressionEncoding::Gzip),
            Compression::None => None,
        }
    }
}
