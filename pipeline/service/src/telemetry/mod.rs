//! What the program tells of itself.

mod logs;
mod startup;
mod summary;

pub(crate) use logs::{log_panics, start};
pub(crate) use startup::StartupReporter;
pub(crate) use summary::SummaryReporter;
