//! File storage.

mod codec;
