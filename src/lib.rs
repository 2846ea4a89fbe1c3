//! The standard distribution: the service, and one line a component. A distribution of your own is a `main` like this
//! one's that also names your crates: `use my_processor as _;`.

#[cfg(feature = "gcp")]
use exporter_gcp as _;
#[cfg(feature = "otlp")]
use exporter_otlp as _;
#[cfg(feature = "prometheus")]
use exporter_prometheus as _;
#[cfg(feature = "stdout")]
use exporter_stdout as _;
#[cfg(feature = "file_storage")]
use extension_file_storage as _;
#[cfg(feature = "health_check")]
use extension_health_check as _;
#[cfg(feature = "aggregate")]
use processor_aggregate as _;
#[cfg(feature = "batch")]
use processor_batch as _;
#[cfg(feature = "labels")]
use processor_labels as _;
#[cfg(feature = "metadata")]
use processor_metadata as _;
#[cfg(feature = "internal")]
use receiver_internal as _;
#[cfg(feature = "kvm")]
use receiver_kvm as _;
#[cfg(feature = "statsfs")]
use receiver_statsfs as _;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use pipeline_service::{BuildInfo, main};

/// What the standard distribution calls itself, and runs without `--config`.
pub const BUILD_INFO: BuildInfo = BuildInfo {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    description: "Reads kernel statistics trees, one value a file, into an OpenTelemetry pipeline",
    default_config: include_str!("../configs/default.yaml"),
};

/// The Rust of README.md is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
