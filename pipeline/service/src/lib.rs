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

/// The whole program, with the components that are linked; `default` is the configuration without `--config`.
#[must_use]
pub fn main(default: &str) -> std::process::ExitCode {
    cli::main(default)
}
