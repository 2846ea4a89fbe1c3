#![doc = include_str!("../README.md")]

mod descriptors;
mod format;
mod own_vm;
mod syscall;
mod units;

pub use descriptors::{Descriptor, StatisticType, StatisticUnit};
pub use format::{FormatError, HEADER_BYTES, Header, StatsFile, read_all, read_types};
pub use own_vm::{Level, OwnVm};
pub use units::{Scale, unit};
