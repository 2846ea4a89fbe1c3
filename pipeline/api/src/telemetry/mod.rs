//! What a component tells of itself: counters, and warnings that are logged once.

mod counters;
mod drop_reason;
mod warnings;

pub use counters::{Counter, CounterKind, CounterValue, Counters};
pub use drop_reason::DropReason;
pub use warnings::{WarningOutcome, Warnings, bounded};
