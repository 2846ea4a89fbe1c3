//! What a component tells of itself: counters, warnings that are logged once, and rules that match nothing.

mod counted;
mod counters;
mod drop_reason;
mod escape;
mod rules;
mod warnings;

pub use counted::{ComponentKind, Counted};
pub use counters::{Counter, CounterKind, CounterValue, Counters};
pub use drop_reason::DropReason;
pub(crate) use escape::without_controls;
pub use escape::{escaped, is_control_or_format, json_escaped};
pub use rules::{FoundTree, RuleLog, RuleUse};
pub use warnings::{WarningOutcome, Warnings, bounded};
