//! What components that speak gRPC share: TLS, keepalive, compression and headers with the Collector's keys
//! ([configgrpc](https://github.com/open-telemetry/opentelemetry-collector/tree/main/config/configgrpc),
//! [configtls](https://github.com/open-telemetry/opentelemetry-collector/tree/main/config/configtls)), a codec that
//! copies bytes, connections that are counted, what their failures mean, and how much of a peer's answer is taken.

// Named so that its `zlib-rs` is there for tonic.
use flate2 as _;

mod client;
mod codec;
mod compression;
mod connection;
mod headers;
mod keepalive;
mod limits;
mod observed;
mod tls;
mod whole_answer;

pub use client::{Client, Failure};
pub use codec::BytesCodec;
pub use compression::Compression;
pub use connection::{Connection, endpoint};
pub use headers::metadata;
pub use keepalive::Keepalive;
pub use limits::{MAX_ANSWER_BYTES, MAX_HEADER_BYTES, is_answer_too_large};
pub use pipeline_tls::TlsVersion;
pub use tls::{Tls, TlsClient, no_authorities, system_roots, system_roots_rights};
