//! What clients and servers with TLS share, with the Collector's keys
//! ([configtls](https://github.com/open-telemetry/opentelemetry-collector/tree/main/config/configtls)): the files that the
//! configuration names, keys, versions, and the settings of a server.

mod files;
mod key;
mod server;
mod version;

pub use files::{certificates, private_key, read};
pub use key::certified_key;
pub use server::{ServerTls, reload_interval};
pub use version::TlsVersion;
