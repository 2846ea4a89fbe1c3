//! How files are read: a job reads the rows of one table, or some of them, on a thread of the reader pool.

mod content;
mod fd_cache;
mod job;
mod pool;
mod reader_thread;
mod reason;
mod rows;
mod selection;
pub(crate) mod syscalls;
pub(crate) mod value;
mod work_queue;

pub(crate) use fd_cache::FdCache;
pub(crate) use job::{Job, Precedence, ReadFailure, Readings, cpu_time};
pub(crate) use pool::{Cancelled, ReaderPool, STALL_TIMEOUT};
pub(crate) use reader_thread::LongJob;
pub(crate) use reason::Reason;
pub(crate) use rows::{FileFormat, RowGroup, Rows};
pub(crate) use selection::Selection;
pub(crate) use work_queue::FinishedJob;
