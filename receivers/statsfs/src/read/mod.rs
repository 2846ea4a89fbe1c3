//! How files are read: a job reads the rows of one table on a thread of the pool.

mod fd_cache;
mod job;
mod pool;
mod rows;
pub(crate) mod syscalls;
pub(crate) mod value;
mod work_queue;

pub(crate) use fd_cache::Kept;
pub(crate) use job::{Cost, Failure, Job, Readings, cpu_time};
pub(crate) use pool::Readers;
pub(crate) use rows::{Group, Rows};
pub(crate) use value::Reason;
pub(crate) use work_queue::Done;
