//! The account that writes, and where this program runs: credentials, their sources, and the metadata server.

pub(crate) mod credentials;
pub(crate) mod detect;
pub(crate) mod sources;
