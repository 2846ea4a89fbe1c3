//! What the program tells of itself: logs on standard error, and a line of counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;

use pipeline::telemetry::Counters;
use tracing_subscriber::EnvFilter;

use crate::config::{Encoding, Level, Logs};

/// Sets the logs up, once a process.
pub(crate) fn start(logs: &Logs) {
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
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // A log that cannot be written is lost; saying so on the same stream would only break the program.
        .log_internal_errors(false);
    let set = match logs.encoding {
        Encoding::Console => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        Encoding::Json => builder.json().flatten_event(true).try_init(),
    };
    // A distribution that has set up logs of its own keeps them.
    drop(set);
}

/// The line of counts: sums over components, dropped points by reason; `None` if nothing was counted yet.
pub(crate) fn summary(counters: &Counters) -> Option<String> {
    let all = counters.snapshot();
    let line = line(
        all.iter()
            .map(|((_, name, reason), count)| (*name, *reason, *count)),
    );
    (!line.is_empty()).then_some(line)
}

/// The same for each component, and each part of one that counts for itself: who wants to know says `RUST_LOG=debug`.
pub(crate) fn detail(counters: &Counters) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let all = counters.snapshot();
    let all: Vec<_> = all.iter().collect();
    for part in all.chunk_by(|((a, ..), _), ((b, ..), _)| a == b) {
        let component = &*part[0].0.0;
        let counts = part
            .iter()
            .map(|((_, name, reason), count)| (*name, *reason, **count));
        tracing::debug!(component, "{}", line(counts));
    }
}

fn line<'a>(counts: impl Iterator<Item = (&'a str, &'a str, u64)>) -> String {
    let mut sums: BTreeMap<&str, (u64, BTreeMap<&str, u64>)> = BTreeMap::new();
    for (name, reason, count) in counts {
        let (sum, reasons) = sums.entry(name).or_default();
        if pipeline::telemetry::is_most(name) {
            *sum = count.max(*sum);
        } else {
            *sum += count;
        }
        if !reason.is_empty() {
            *reasons.entry(reason).or_default() += count;
        }
    }
    let first = [
        "sweeps",
        "files_read",
        "points_read",
        "points_sent",
        "points_rejected",
        "points_dropped",
        "points_queued",
    ];
    let rest = sums.keys().filter(|name| !first.contains(name));
    let mut line = String::new();
    for name in first.iter().chain(rest) {
        let Some((sum, reasons)) = sums.get(name) else {
            continue;
        };
        let _ = write!(
            line,
            "{}{name}={sum}",
            if line.is_empty() { "" } else { " " }
        );
        let reasons: Vec<_> = reasons
            .iter()
            .map(|(reason, count)| format!("{reason}={count}"))
            .collect();
        if !reasons.is_empty() {
            let _ = write!(line, " ({})", reasons.join(" "));
        }
    }
    line
}
