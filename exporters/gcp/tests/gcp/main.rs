//! The exporter against a fake of the API that is as strict as the API is described.

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
