//! The forms that batches take outside: OTLP, and the notation for people and tests.

pub mod otlp;
pub mod text;
