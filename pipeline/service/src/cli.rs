//! The command line.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pipeline::{Context, Descriptors, Registration, telemetry::Counters};
use tokio::runtime::Builder;

use crate::config::{Config, Loaded, Logs, check, load, print, render};
use crate::graph::Graph;
use crate::{graph, resource, supervise, telemetry};

/// Reads kernel statistics trees, one value a file, into an OpenTelemetry pipeline.
#[derive(Debug, Parser)]
#[command(name = "statsfs-collector", version)]
#[command(
    after_help = "Without --config it sweeps what this kernel has and prints it every 10 s; `print-config` shows that configuration.\n\
Exit codes: 0 done, 1 failed while running, 2 the configuration or the command line is wrong.\n\
RUST_LOG sets the log level over the configuration's."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sources: Sources,
    /// One sweep of every receiver, drained through the pipeline; then exit: 0 if all of it arrived
    #[arg(long, global = true)]
    once: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipeline (the default command)
    Run,
    /// Check a configuration and build every component, without reading a kernel tree or the network
    Validate,
    /// Print the configuration after merging and substitution, secrets hidden
    PrintConfig,
    /// List the component types of this binary: type, kind, crate, version, file
    Components,
}

#[derive(Args, Debug)]
struct Sources {
    /// A YAML file, or - for standard input. Given several times they are merged: maps deep, lists replaced
    #[arg(long, value_name = "FILE|-", global = true)]
    config: Vec<String>,
    /// Change one value, written as YAML: --set exporters.otlp.endpoint=host:4317
    #[arg(long, value_name = "A.B=V", global = true)]
    set: Vec<String>,
}

/// What a command ends with, other than success.
enum Failure {
    /// Exit 1, with this line.
    Running(String),
    /// Exit 2; what is wrong was told.
    Wrong,
}

/// Runs the command line.
pub(crate) fn main(default: &str) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where even this cannot be written, the exit code still says it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command.unwrap_or(Command::Run) {
        Command::Run => run(&cli.sources, cli.once, default),
        Command::Validate => prepare(&cli.sources, default).map(drop),
        Command::PrintConfig => print_config(&cli.sources, default),
        Command::Components => {
            components();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Running(line)) => {
            tracing::error!("{line}");
            ExitCode::from(1)
        }
        Err(Failure::Wrong) => ExitCode::from(2),
    }
}

fn run(sources: &Sources, once: bool, default: &str) -> Result<(), Failure> {
    let prepared = prepare(sources, default)?;
    telemetry::start(&prepared.logs);
    let how = supervise::Options {
        once,
        is_default: sources.config.is_empty(),
        shutdown_timeout: prepared.shutdown_timeout,
        summary_interval: prepared.logs.summary_interval.0,
    };
    // One thread runs the components: two would wake one another at each hand-over, which costs more than what they do.
    // The supervisor has its own: a component that blocks holds up its pipeline, never a signal.
    let failed = |error| Failure::Running(format!("cannot start: {error}"));
    let workers = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    let supervisor = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let run = supervise::run(prepared.graph, how, prepared.counters, workers.handle());
    let done = supervisor.block_on(run);
    // What hangs in a read or a write may hang on: the process ends all the same.
    workers.shutdown_background();
    done.map_err(Failure::Running)
}

fn print_config(sources: &Sources, default: &str) -> Result<(), Failure> {
    let prepared = prepare(sources, default)?;
    if sources.config.is_empty() && sources.set.is_empty() {
        out(default);
    } else {
        out(&print(&prepared.loaded.node, &prepared.secrets));
    }
    Ok(())
}

fn components() {
    let mut text = format!(
        "{:<12} {:<10} {:<22} {:<8} {}\n",
        "TYPE", "KIND", "CRATE", "VERSION", "FILE"
    );
    for it in Registration::all() {
        let kind = it.make.kind();
        let _ = writeln!(
            text,
            "{:<12} {kind:<10} {:<22} {:<8} {}",
            it.type_name, it.crate_name, it.version, it.file
        );
    }
    out(&text);
}

/// A configuration without a mistake, and all that is built of it.
struct Prepared {
    loaded: Loaded,
    graph: Graph,
    counters: Counters,
    secrets: Vec<Vec<String>>,
    logs: Logs,
    shutdown_timeout: Duration,
}

/// Loads, checks and builds, and tells all that is wrong or odd in one go.
fn prepare(sources: &Sources, default: &str) -> Result<Prepared, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let mut loaded = load(&sources.config, &sources.set, default, &env);
    let prepared = check(&mut loaded).and_then(|mut config| {
        let counters = Counters::new("service");
        let context = context(&config, &counters);
        let secrets = std::mem::take(&mut config.secrets);
        let logs = std::mem::take(&mut config.service.telemetry.logs);
        let shutdown_timeout = config.service.shutdown_timeout.0;
        match graph::build(config, &context) {
            Ok(graph) => Some((graph, counters, secrets, logs, shutdown_timeout)),
            Err(wrong) => {
                loaded.diagnostics.extend(wrong);
                None
            }
        }
    });
    if !loaded.diagnostics.is_empty() {
        err(&render(&loaded.diagnostics, &loaded.texts));
    }
    let is_wrong = loaded.diagnostics.iter().any(|it| it.is_error);
    match prepared {
        Some((graph, counters, secrets, logs, shutdown_timeout)) if !is_wrong => Ok(Prepared {
            loaded,
            graph,
            counters,
            secrets,
            logs,
            shutdown_timeout,
        }),
        _ => Err(Failure::Wrong),
    }
}

fn context(config: &Config, counters: &Counters) -> Context {
    let env = std::env::var("OTEL_RESOURCE_ATTRIBUTES").ok();
    let host_root: &Path = &config.service.host_root;
    let resource = resource::resource(host_root, env.as_deref(), &config.service.resource);
    Context::new(Arc::new(resource), counters.clone(), host_root).with_descriptors(descriptors())
}

/// What receivers may keep open: three quarters of what the process may have, once it has all that it is allowed.
fn descriptors() -> Descriptors {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where it cannot be raised, it is what it was.
    let _ = setrlimit(Resource::Nofile, raised);
    let current = getrlimit(Resource::Nofile).current.unwrap_or(MANY);
    Descriptors::new(usize::try_from(current.min(MANY) / 4 * 3).unwrap_or_default())
}

/// More than this are not kept, whatever is allowed: each costs the kernel some kilobytes.
const MANY: u64 = 1 << 20;

/// A command's own answer, where no exporter runs. A reader that has gone away is no error.
fn out(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn err(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}
