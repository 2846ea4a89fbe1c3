//! What the receiver counts, beside what every receiver does.

use pipeline::telemetry::Counter;

/// VMs that are there.
pub(crate) const VMS: Counter = Counter::gauge("vms");
/// vCPUs that are there.
pub(crate) const VCPUS: Counter = Counter::gauge("vcpus");
/// Statistics that this program does not know how to read, by name.
pub(crate) const STATISTICS_UNKNOWN: Counter = Counter::gauge("statistics_unknown");
/// Blocks of statistics that were read.
pub(crate) const BLOCKS_READ: Counter = Counter::sum("blocks_read");
/// Blocks of statistics that were not, each time, by reason.
pub(crate) const BLOCKS_FAILED: Counter = Counter::sum("blocks_failed");
/// Reads of files that gave no value, each time.
pub(crate) const READS_FAILED: Counter = Counter::sum("reads_failed");
/// Values that lost precision: beyond 64 bits with a sign they are doubles.
pub(crate) const VALUES_LOSSY: Counter = Counter::sum("values_lossy");
/// CPU time of looking for VMs and of reads, µs.
pub(crate) const CPU_MICROSECONDS: Counter = Counter::sum("cpu_microseconds");
/// Descriptors of VMs and vCPUs that another descriptor or process shows too, at the last pass.
#[cfg(feature = "bpf")]
pub(crate) const BPF_DUPLICATES: Counter = Counter::gauge("bpf_duplicates");
/// Descriptors of VMs and vCPUs of which the kernel could not read whose they are, at the last pass.
#[cfg(feature = "bpf")]
pub(crate) const BPF_UNREADABLE: Counter = Counter::gauge("bpf_unreadable");
/// Descriptors of VMs and vCPUs beyond the limits, at the last pass.
#[cfg(feature = "bpf")]
pub(crate) const BPF_OVER_LIMIT: Counter = Counter::gauge("bpf_over_limit");
/// Passes that failed.
#[cfg(feature = "bpf")]
pub(crate) const BPF_PASSES_FAILED: Counter = Counter::sum("bpf_passes_failed");
