//! The command line: one file a subcommand.

mod color;
mod components;
mod health;
mod inspect;
mod prepare;
mod print_config;
mod queue;
mod run;
mod schema;
mod validate;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use pipeline::BuildInfo;
use pipeline::telemetry::bounded;
use pipeline_http::Endpoint;

#[derive(Debug, Parser)]
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
    /// One sweep of every receiver, drained through the pipeline; then exit: 0 if all of it arrived, and each receiver that is
    /// not optional gave some
    #[arg(long, global = true)]
    once: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipeline (the default command)
    Run,
    /// List what is swept and what is not, with what becomes of it and why. Sends nothing anywhere
    Inspect {
        /// Only what fits this, by its path below the root with the subsystem first: 'net/*/statistics/rx_*'
        glob: Option<String>,
        /// Make one sweep, and show each value or why there is none
        #[arg(long)]
        read: bool,
        /// Instead: what the configuration needs of the system, what the sandbox leaves of it, and how to give it to the program
        #[arg(long, conflicts_with_all = ["glob", "read"])]
        rights: bool,
    },
    /// Check a configuration and build every component, without reading a kernel tree or the network
    Validate,
    /// Print the configuration after merging and substitution, secrets hidden
    PrintConfig {
        /// With every option at its default
        #[arg(long)]
        defaults: bool,
    },
    /// Print a JSON schema of the configuration, for editors
    Schema,
    /// Print what a shell completes the command line by
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page, as roff
    Man,
    /// Ask the `health_check` of a program that runs: exit 0 if it is ready, else 1, and print why it is not
    Health {
        /// Where it listens: host:port or unix:/path
        #[arg(
            long,
            value_name = "HOST:PORT|unix:/PATH",
            default_value = "127.0.0.1:13133"
        )]
        endpoint: Endpoint,
        /// Whether it is alive, not whether it is ready
        #[arg(long)]
        live: bool,
    },
    /// Show what waits on disk below the `directory` of a storage: exporter, requests, points, bytes, times, damage
    Queue {
        /// The directory
        directory: PathBuf,
        /// Only what this exporter has there
        #[arg(long, value_name = "ID")]
        exporter: Option<String>,
        /// Write the requests themselves, as OTLP JSON, one a line
        #[arg(long)]
        export: bool,
    },
    /// List the component types of this binary: type, kind, crate, version, file
    Components,
}

/// What all commands take: where the configuration comes from, and when to colour.
#[derive(Args, Debug)]
struct Sources {
    /// A YAML file, or - for standard input. Given several times they are merged: maps deep, lists replaced. A name that ends in
    /// .yaml, .yml or .json needs no --config before it
    #[arg(short, long, value_name = "FILE|-", global = true)]
    config: Vec<String>,
    /// Change one value, written as YAML: --set exporters.otlp.endpoint=host:4317
    #[arg(long, value_name = "A.B=V", global = true)]
    set: Vec<String>,
    /// Colour what is for people: values and logs. By itself on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    color: clap::ColorChoice,
}

impl Sources {
    fn color(&self) -> pipeline::ColorChoice {
        color::choice(self.color, |name| std::env::var_os(name))
    }
}

/// What a command ends with, other than success.
enum CommandError {
    /// Exit 1, with this text.
    Runtime(String),
    /// Exit 2; what is wrong was reported.
    Configuration,
}

/// Runs the command line.
pub(crate) fn main(build_info: BuildInfo) -> ExitCode {
    crate::telemetry::log_panics();
    let command = Cli::command()
        .name(build_info.name)
        .version(build_info.version)
        .about(build_info.description);
    let mut documented = command.clone();
    let matches = command.try_get_matches_from(with_options(std::env::args_os().collect()));
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Where even this cannot be written, the exit code still says it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&cli.sources, cli.once, build_info),
        Command::Inspect { rights: true, .. } => inspect::inspect_rights(&cli.sources, build_info),
        Command::Inspect { glob, read, .. } => {
            inspect::inspect(&cli.sources, glob.as_deref(), read, build_info)
        }
        Command::Validate => validate::validate(&cli.sources, build_info),
        Command::PrintConfig { defaults } => {
            print_config::print_config(&cli.sources, defaults, build_info)
        }
        Command::Schema => {
            schema::print_schema(build_info);
            Ok(())
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut documented, build_info.name, &mut script);
            print(&String::from_utf8_lossy(&script));
            Ok(())
        }
        Command::Man => {
            let mut page = Vec::new();
            let written = clap_mangen::Man::new(documented).render(&mut page);
            print(&String::from_utf8_lossy(&page));
            written.map_err(|error| CommandError::Runtime(error.to_string()))
        }
        Command::Health { endpoint, live } => match health::health(&endpoint, live) {
            Ok(false) => return ExitCode::from(1),
            result => result.map(drop),
        },
        Command::Queue {
            directory,
            exporter,
            export,
        } => queue::queue(&directory, exporter.as_ref(), export),
        Command::Components => {
            components::components();
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Runtime(error)) => {
            tracing::error!(error = &*bounded(&error), "ended with an error");
            ExitCode::from(1)
        }
        Err(CommandError::Configuration) => ExitCode::from(2),
    }
}

/// The arguments with a `--config` before each bare name of a configuration.
fn with_options(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let mut arguments = arguments.into_iter();
    all.extend(arguments.next());
    let mut is_value = false;
    for argument in arguments {
        let text = argument.to_string_lossy();
        let is_name = !text.starts_with('-')
            && [".yaml", ".yml", ".json"]
                .iter()
                .any(|it| text.ends_with(it));
        if is_name && !is_value {
            all.push("--config".into());
        }
        is_value = matches!(&*text, "--config" | "-c" | "--set");
        all.push(argument);
    }
    all
}

/// A command's own answer, where no exporter runs. A reader that has gone away is no error.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
