//! What the receiver counts, beside what every receiver does.

use pipeline::telemetry::Counter;

/// Files that gave no value, by reason.
pub(crate) const FILES_FAILED: Counter = Counter::sum("files_failed");
/// Files that were due and not tried, each time, by reason.
pub(crate) const FILES_SKIPPED: Counter = Counter::sum("files_skipped");
/// Files that do not answer now.
pub(crate) const FILES_STUCK: Counter = Counter::gauge("files_stuck");
/// Directories that could not be listed, by reason.
pub(crate) const DIRECTORIES_FAILED: Counter = Counter::sum("directories_failed");
/// Directories that are beyond a limit.
pub(crate) const DIRECTORIES_REFUSED: Counter = Counter::sum("directories_refused");
/// Directories whose entries are beyond a limit.
pub(crate) const ENTRIES_REFUSED: Counter = Counter::sum("entries_refused");
/// `.schema` files that could not be read, by reason.
pub(crate) const SCHEMAS_FAILED: Counter = Counter::sum("schemas_failed");
/// Entries of a `.schema` that say nothing that can be used.
pub(crate) const SCHEMA_LINES_FAILED: Counter = Counter::sum("schema_lines_failed");
/// Sweeps of a subsystem that were due and not made, by reason.
pub(crate) const SUBSYSTEM_SWEEPS_SKIPPED: Counter = Counter::sum("subsystem_sweeps_skipped");
/// Reads that gave no value, each time that they are tried.
pub(crate) const READS_FAILED: Counter = Counter::sum("reads_failed");
/// Bytes that were read of files.
pub(crate) const BYTES_READ: Counter = Counter::sum("bytes_read");
/// System calls that reading took.
pub(crate) const SYSCALLS_MADE: Counter = Counter::sum("syscalls_made");
/// Values that lost precision: beyond 64 bits with a sign they are doubles.
pub(crate) const VALUES_LOSSY: Counter = Counter::sum("values_lossy");
/// Numbers that stand for no value, by `formats`.
pub(crate) const VALUES_ABSENT: Counter = Counter::sum("values_absent");
/// CPU time of scans and reads, µs.
pub(crate) const CPU_MICROSECONDS: Counter = Counter::sum("cpu_microseconds");
/// The longest that one file took, µs.
pub(crate) const LONGEST_READ_MICROSECONDS: Counter = Counter::maximum("longest_read_microseconds");
