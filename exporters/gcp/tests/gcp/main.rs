//! The exporter against a fake of the API that is as strict as the API is described.

#![allow(clippy::unwrap_used)]

mod contracts;
mod errors;
mod fake;
mod host;
mod mapping;
mod obeys;
