//! Logs on standard error.

use std::io::{IsTerminal, Write as _};
use std::panic::PanicHookInfo;

use pipeline::ColorChoice;
use pipeline::telemetry::{bounded, escaped};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Format, JsonFields};

use super::log_format::{ConsoleFields, ConsoleFormat, JsonFormat};
use crate::config::{Encoding, Level, Logs};

/// Sets the logs up, once a process.
pub(crate) fn start(logs: &Logs, color: ColorChoice) {
    let level = match logs.level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    // `RUST_LOG` wins; what it cannot mean is passed over.
    let filter = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(directives(&text)).ok())
        .unwrap_or_else(|| EnvFilter::new(directives(level)));
    let is_detailed = filter.max_level_hint() > Some(LevelFilter::INFO);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written is lost; saying so on the same stream would only break the program.
        .log_internal_errors(false);
    let format = Format::default().with_target(is_detailed);
    let set = match logs.encoding {
        Encoding::Console => builder
            .with_ansi(color.is_colored(std::io::stderr().is_terminal()))
            .fmt_fields(ConsoleFields)
            .event_format(ConsoleFormat(format))
            .try_init(),
        Encoding::Json => builder
            .fmt_fields(JsonFields::new())
            .event_format(JsonFormat(format.json().flatten_event(true)))
            .try_init(),
    };
    // A distribution that has set up logs of its own keeps them.
    drop(set);
}

/// At the level `debug` libraries say each frame that they send: that is shown at `trace`, or where it is asked for by name.
fn directives(text: &str) -> String {
    const LIBRARIES: [&str; 7] = [
        "h2",
        "hyper",
        "hyper_util",
        "reqwest",
        "rustls",
        "tonic",
        "tower",
    ];
    if !text.trim().eq_ignore_ascii_case("debug") {
        return text.into();
    }
    let quiet = LIBRARIES.map(|library| format!(",{library}=info"));
    format!("debug{}", quiet.concat())
}

/// A panic's message is a line of the logs, or of standard error where there are none yet.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let text = panic.to_string();
        let text = bounded(&text);
        if tracing::dispatcher::has_been_set() {
            tracing::error!(panic = &*text, "a thread broke down");
        } else {
            // Where even this cannot be written, the exit code still says it.
            let _ = writeln!(std::io::stderr(), "{}", escaped(&text));
        }
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            let _ = writeln!(std::io::stderr(), "{backtrace}");
        }
    }));
}
