//! The account that writes, and where this program runs: credentials, their sources, and the metadata server.

pub(crate) mod credentials;
pub(crate) mod detect;
mod http;
mod metadata_key;
mod metadata_server;
pub(crate) mod sources;
mod token;
