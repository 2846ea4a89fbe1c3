//! What a component tells of itself: counters, and warnings that are logged once.

mod counters;
mod drop_reason;
mod escape;
mod warnings;

pub use counters::{Counter, CounterKind, CounterValue, Counters};
pub use drop_reason::DropReason;
pub(crate) use escape::without_controls;
pub use escape::{escaped, is_control_or_format, json_escaped};
pub use warnings::{WarningOutcome, Warnings, bounded};
