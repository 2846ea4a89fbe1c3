//! The standard distribution: the service, and one line a component. A distribution of your own is a `main` like this
//! one's that also names your crates: `use my_processor as _;`.

#[cfg(feature = "gcp")]
use exporter_gcp as _;
#[cfg(feature = "otlp")]
use exporter_otlp as _;
#[cfg(feature = "stdout")]
use exporter_stdout as _;
#[cfg(feature = "aggregate")]
use processor_aggregate as _;
#[cfg(feature = "batch")]
use processor_batch as _;
#[cfg(feature = "labels")]
use processor_labels as _;
#[cfg(feature = "metadata")]
use processor_metadata as _;
#[cfg(feature = "statsfs")]
use receiver_statsfs as _;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The whole program, with every component that is linked.
#[must_use]
pub fn main() -> std::process::ExitCode {
    pipeline_service::main(include_str!("../configs/default.yaml"))
}
