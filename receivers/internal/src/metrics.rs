//! Every metric of the program's own telemetry: docs/telemetry.md shows these tables, and a test holds it to them.

use crate::config::Level;

/// What stands before the names of those that the Collector has not.
pub const PREFIX: &str = "statsfs_collector_";

/// A label that is called by the kind of the component, and has its id: `receiver="statsfs"`.
pub const COMPONENT: &str = "component";

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    /// Its name.
    pub name: &'static str,
    /// Whether it is a counter, rather than a gauge.
    pub is_counter: bool,
    /// UCUM.
    pub unit: &'static str,
    /// The keys of its labels.
    pub labels: &'static [&'static str],
    /// The level from which on it is there.
    pub level: Level,
    /// Whether it is there from the start on, rather than from its first count.
    pub from_start: bool,
    /// What it is.
    pub description: &'static str,
}

const fn info(
    name: &'static str,
    is_counter: bool,
    unit: &'static str,
    labels: &'static [&'static str],
    level: Level,
    from_start: bool,
    description: &'static str,
) -> MetricInfo {
    MetricInfo {
        name,
        is_counter,
        unit,
        labels,
        level,
        from_start,
        description,
    }
}

pub(crate) const RECEIVER_ACCEPTED: MetricInfo = info(
    "otelcol_receiver_accepted_metric_points",
    true,
    "{datapoints}",
    &["receiver", "transport"],
    Level::Basic,
    true,
    "Points that the receiver sent on.",
);
pub(crate) const RECEIVER_REFUSED: MetricInfo = info(
    "otelcol_receiver_refused_metric_points",
    true,
    "{datapoints}",
    &["receiver", "transport"],
    Level::Basic,
    true,
    "Points of it that nobody took any more: what is below had ended.",
);
pub(crate) const PROCESSOR_INCOMING_ITEMS: MetricInfo = info(
    "otelcol_processor_incoming_items",
    true,
    "{items}",
    &["processor", "otel.signal"],
    Level::Basic,
    true,
    "Points that came to the processor.",
);
pub(crate) const PROCESSOR_OUTGOING_ITEMS: MetricInfo = info(
    "otelcol_processor_outgoing_items",
    true,
    "{items}",
    &["processor", "otel.signal"],
    Level::Basic,
    true,
    "Points that it let out.",
);
pub(crate) const EXPORTER_SENT: MetricInfo = info(
    "otelcol_exporter_sent_metric_points",
    true,
    "{datapoints}",
    &["exporter"],
    Level::Basic,
    true,
    "Points that the far side took.",
);
pub(crate) const EXPORTER_SEND_FAILED: MetricInfo = info(
    "otelcol_exporter_send_failed_metric_points",
    true,
    "{datapoints}",
    &["exporter"],
    Level::Basic,
    true,
    "Points that are lost after they were queued: rejected, given up, or not to be written.",
);
pub(crate) const EXPORTER_ENQUEUE_FAILED: MetricInfo = info(
    "otelcol_exporter_enqueue_failed_metric_points",
    true,
    "{datapoints}",
    &["exporter"],
    Level::Basic,
    true,
    "Points that are lost since the queue was full.",
);
pub(crate) const EXPORTER_QUEUE_SIZE: MetricInfo = info(
    "otelcol_exporter_queue_size",
    false,
    "{batches}",
    &["exporter", "data_type"],
    Level::Basic,
    true,
    "What is in the queue, under way or not: requests, or points with `sizer: items`.",
);
pub(crate) const EXPORTER_QUEUE_CAPACITY: MetricInfo = info(
    "otelcol_exporter_queue_capacity",
    false,
    "{batches}",
    &["exporter", "data_type"],
    Level::Basic,
    true,
    "How much it holds.",
);
pub(crate) const PROCESS_UPTIME: MetricInfo = info(
    "otelcol_process_uptime",
    true,
    "s",
    &[],
    Level::Basic,
    true,
    "The time since the start.",
);
pub(crate) const PROCESS_CPU_SECONDS: MetricInfo = info(
    "otelcol_process_cpu_seconds",
    true,
    "s",
    &[],
    Level::Basic,
    true,
    "CPU time of the program, in user space and in the kernel.",
);
pub(crate) const PROCESS_MEMORY_RSS: MetricInfo = info(
    "otelcol_process_memory_rss",
    false,
    "By",
    &[],
    Level::Basic,
    true,
    "Its resident memory.",
);
pub(crate) const PROCESS_RUNTIME_HEAP_ALLOC_BYTES: MetricInfo = info(
    "otelcol_process_runtime_heap_alloc_bytes",
    false,
    "By",
    &[],
    Level::Basic,
    true,
    "Its resident memory that no file stands behind: heap and stacks.",
);

/// Those of the program as a whole, which nobody counts.
pub(crate) const PROCESS: [MetricInfo; 4] = [
    PROCESS_UPTIME,
    PROCESS_CPU_SECONDS,
    PROCESS_MEMORY_RSS,
    PROCESS_RUNTIME_HEAP_ALLOC_BYTES,
];

/// Points that are lost, whatever for.
pub(crate) const POINTS_LOST: &str = "statsfs_collector_points_lost";

/// Those that the Collector has.
pub const THEIRS: [MetricInfo; 13] = [
    RECEIVER_ACCEPTED,
    RECEIVER_REFUSED,
    PROCESSOR_INCOMING_ITEMS,
    PROCESSOR_OUTGOING_ITEMS,
    EXPORTER_SENT,
    EXPORTER_SEND_FAILED,
    EXPORTER_ENQUEUE_FAILED,
    EXPORTER_QUEUE_SIZE,
    EXPORTER_QUEUE_CAPACITY,
    PROCESS_UPTIME,
    PROCESS_CPU_SECONDS,
    PROCESS_MEMORY_RSS,
    PROCESS_RUNTIME_HEAP_ALLOC_BYTES,
];

/// Those that it has not.
#[rustfmt::skip] // one a line
pub const OURS: [MetricInfo; 40] = [
    info("statsfs_collector_points_lost", true, "{datapoints}", &[COMPONENT], Level::Basic, true, "Points that are lost: dropped for a reason that is a loss, or rejected by the far side."),
    info("statsfs_collector_points_dropped", true, "{datapoints}", &[COMPONENT, "reason", "loss"], Level::Normal, false, "Points that went no further, by reason; `loss` is `true` where that is a loss."),
    info("statsfs_collector_series_refused", true, "{series}", &[COMPONENT, "reason"], Level::Normal, false, "Series that are left out, by reason."),
    info("statsfs_collector_connections_cut", true, "{connections}", &[COMPONENT, "reason"], Level::Normal, false, "Connections to what listens that ended without an answer, by reason."),
    info("statsfs_collector_sweeps", true, "{sweeps}", &["receiver"], Level::Normal, true, "Sweeps of the receiver."),
    info("statsfs_collector_sweeps_skipped", true, "{sweeps}", &["receiver"], Level::Normal, true, "Sweeps that were due and not made."),
    info("statsfs_collector_subsystem_sweeps_skipped", true, "{sweeps}", &["receiver", "subsystem", "reason"], Level::Normal, false, "Sweeps of one subsystem that were due and not made, by reason."),
    info("statsfs_collector_series", false, "{series}", &["receiver", "subsystem"], Level::Normal, false, "Series that there are now."),
    info("statsfs_collector_files_read", true, "{files}", &["receiver", "subsystem"], Level::Normal, false, "Files that were read."),
    info("statsfs_collector_bytes_read", true, "By", &["receiver", "subsystem"], Level::Normal, false, "Bytes that were read of files."),
    info("statsfs_collector_syscalls_made", true, "{calls}", &["receiver", "subsystem"], Level::Normal, false, "System calls that reading took."),
    info("statsfs_collector_cpu_seconds", true, "s", &["receiver", "subsystem"], Level::Normal, false, "CPU time of scans and reads."),
    info("statsfs_collector_longest_read_seconds", false, "s", &["receiver", "subsystem"], Level::Normal, false, "The longest that one read took since the start."),
    info("statsfs_collector_reads_failed", true, "{reads}", &["receiver", "subsystem"], Level::Normal, false, "Reads that gave no value, each time."),
    info("statsfs_collector_files_failed", true, "{files}", &["receiver", "reason"], Level::Normal, false, "Files that gave no value, by reason."),
    info("statsfs_collector_files_skipped", true, "{files}", &["receiver", "reason"], Level::Normal, false, "Files that were due and not tried, each time, by reason."),
    info("statsfs_collector_files_stuck", false, "{files}", &["receiver"], Level::Normal, false, "Files that do not answer now, and are not read."),
    info("statsfs_collector_directories_failed", true, "{directories}", &["receiver", "reason"], Level::Normal, false, "Directories that could not be listed, by reason."),
    info("statsfs_collector_directories_refused", true, "{directories}", &["receiver"], Level::Normal, false, "Directories that are beyond a limit."),
    info("statsfs_collector_entries_refused", true, "{directories}", &["receiver"], Level::Normal, false, "Directories whose entries are beyond a limit."),
    info("statsfs_collector_schemas_failed", true, "{files}", &["receiver", "reason"], Level::Normal, false, "`.schema` files that could not be read, by reason."),
    info("statsfs_collector_schema_lines_failed", true, "{lines}", &["receiver"], Level::Normal, false, "Entries of a `.schema` that say nothing that can be used."),
    info("statsfs_collector_values_lossy", true, "{values}", &["receiver", "subsystem", "reason"], Level::Normal, false, "Values that lost precision."),
    info("statsfs_collector_values_absent", true, "{values}", &["receiver", "subsystem"], Level::Normal, false, "Numbers that stand for no value."),
    info("statsfs_collector_vms", false, "{vms}", &["receiver"], Level::Normal, false, "VMs that there are now."),
    info("statsfs_collector_vcpus", false, "{vcpus}", &["receiver"], Level::Normal, false, "vCPUs that there are now."),
    info("statsfs_collector_blocks_read", true, "{blocks}", &["receiver"], Level::Normal, false, "Blocks of statistics that were read."),
    info("statsfs_collector_blocks_failed", true, "{blocks}", &["receiver", "reason"], Level::Normal, false, "Blocks of statistics that were not, each time, by reason."),
    info("statsfs_collector_bpf_duplicates", false, "{descriptors}", &["receiver"], Level::Normal, false, "Descriptors that another descriptor or process shows too, at the last pass."),
    info("statsfs_collector_bpf_unreadable", false, "{descriptors}", &["receiver"], Level::Normal, false, "Descriptors of which the kernel could not read whose they are, at the last pass."),
    info("statsfs_collector_bpf_over_limit", false, "{descriptors}", &["receiver"], Level::Normal, false, "Descriptors beyond the limits, at the last pass."),
    info("statsfs_collector_bpf_passes_failed", true, "{passes}", &["receiver"], Level::Normal, false, "Passes that failed."),
    info("statsfs_collector_statistics_unknown", false, "{statistics}", &[COMPONENT], Level::Normal, false, "Statistics of a kind that this program does not know, by name."),
    info("statsfs_collector_values_carried", true, "{values}", &["processor"], Level::Normal, false, "Values of members that showed nothing in a sweep, and counted with what they had shown before."),
    info("statsfs_collector_points_handed", true, "{datapoints}", &["exporter"], Level::Normal, true, "Points that were handed to the exporter."),
    info("statsfs_collector_points_rejected", true, "{datapoints}", &["exporter"], Level::Normal, true, "Points that the far side refused for good."),
    info("statsfs_collector_points_resent", true, "{datapoints}", &["exporter"], Level::Normal, false, "Points that its queue on disk had under way when the program last ended, and sends again: they may arrive twice."),
    info("statsfs_collector_points_queued", false, "{datapoints}", &["exporter"], Level::Normal, true, "Points that were handed to it, and are neither sent nor dropped yet."),
    info("statsfs_collector_points_deferred", false, "{datapoints}", &["exporter"], Level::Normal, false, "Points that it holds back, of series that the far side refuses for the time being."),
    info("statsfs_collector_requests_retried", true, "{requests}", &["exporter"], Level::Normal, true, "Attempts after one that failed."),
];
