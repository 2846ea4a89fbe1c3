//! The oldest version of TLS that is spoken.

use rustls::{SupportedProtocolVersion, version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

impl TlsVersion {
    /// As it is written: `1.2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "1.2",
            TlsVersion::V1_3 => "1.3",
        }
    }

    /// It and all that are newer.
    #[must_use]
    pub fn and_newer(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            TlsVersion::V1_2 => vec![&version::TLS12, &version::TLS13],
            TlsVersion::V1_3 => vec![&version::TLS13],
        }
    }
}
