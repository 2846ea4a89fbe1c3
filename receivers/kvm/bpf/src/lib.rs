#![doc = include_str!("../README.md")]

mod btf;
mod capabilities;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
mod iterator;
mod kernel;
mod layout;
mod loader;
mod pass;
mod records;
mod syscall;

pub use btf::{Malformed, Statistic};
pub use capabilities::drop_bpf_capabilities;
pub use error::{LoadError, PassError};
pub use iterator::KvmIterator;
pub use kvm_stats::{Level, OwnVm};
pub use pass::{Limits, Pass, Record, Values, VmKey};
