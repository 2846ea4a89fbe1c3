//! Runs a pipeline: command line, configuration, graph, queues, signals. Components never see this crate.

mod background;
mod beside;
mod builder;
mod cli;
mod config;
mod exporter;
mod extensions;
mod fanout;
mod files;
mod graph;
mod inspect;
mod join;
mod memory;
mod processor;
mod request_logs;
mod resource;
mod sandbox;
mod service_manager;
mod signals;
mod supervise;
mod telemetry;

pub use config::delivery_config;
pub use pipeline::BuildInfo;

/// What fuzz targets reach.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// A configuration: loaded, checked, and every mistake shown.
    pub fn config(text: &str) {
        crate::config::load_and_check(text);
    }
}

/// The whole program, with the components that are linked, as the distribution that `build_info` names.
#[must_use]
pub fn main(build_info: BuildInfo) -> std::process::ExitCode {
    cli::main(build_info)
}
