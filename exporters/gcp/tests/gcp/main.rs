//! The exporter against fakes that enforce the API's documented rules.

#![allow(clippy::unwrap_used)]

mod both_fakes;
mod contracts;
mod errors;
mod host;
#[path = "../../../../tests/common/lacks.rs"]
#[allow(unreachable_pub)]
mod lacks;
mod limits;
mod mapping;
