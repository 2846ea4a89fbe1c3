//! How files are read: a job reads the rows of one table on a thread of the reader pool.

mod fd_cache;
mod job;
mod pool;
mod rows;
pub(crate) mod syscalls;
pub(crate) mod value;
mod work_queue;

pub(crate) use fd_cache::FdCache;
pub(crate) use job::{Job, ReadCost, ReadFailure, Readings, cpu_time};
pub(crate) use pool::{ReaderPool, STALL_TIMEOUT};
pub(crate) use rows::{FileFormat, RowGroup, Rows};
pub(crate) use value::Reason;
pub(crate) use work_queue::FinishedJob;
