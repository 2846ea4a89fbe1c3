//! The exporter against fakes that enforce the API's documented rules.

#![allow(clippy::unwrap_used)]

mod both_fakes;
mod contracts;
mod deferred;
mod descriptors;
mod errors;
mod host;
#[allow(unreachable_pub)]
mod limits;
mod mapping;
