//! Runs a pipeline: command line, configuration, graph, queues, signals. Components never see this crate.

mod cli;
mod config;
mod export;
mod graph;
mod resource;
mod stage;
mod supervise;
mod telemetry;

pub use config::around;

/// What fuzz targets reach.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// A configuration: loaded, checked, and every mistake told.
    pub fn config(text: &str) {
        crate::config::fuzzed(text);
    }
}

/// The whole program, with the components that are linked; `default` is the configuration without `--config`.
#[must_use]
pub fn main(default: &str) -> std::process::ExitCode {
    cli::main(default)
}
