//! The forms that batches take outside: OTLP, the notation for people and tests, and Prometheus' exposition.

pub mod otlp;
pub mod prometheus;
pub mod text;
