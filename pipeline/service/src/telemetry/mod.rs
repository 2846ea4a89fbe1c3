//! What the program tells of itself.

mod log_format;
mod logs;
mod readers;
mod startup;
mod summary;

pub(crate) use logs::{log_panics, start};
pub(crate) use readers::{Reader, build_readers, start_readers};
pub(crate) use startup::StartupReporter;
pub(crate) use summary::SummaryReporter;
