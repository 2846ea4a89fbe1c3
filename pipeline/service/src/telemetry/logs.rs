//! Logs on standard error.

use std::fmt;
use std::io::IsTerminal;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Encoding, Level, Logs};

/// The field with the counters of a summary: written as fields of their own.
const COUNTERS: &str = "counters";

/// The target of summaries.
pub(super) const SUMMARY: &str = "pipeline_service::summary";

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
        // A log that cannot be written is lost; saying so on the same stream would only break the program.
        .log_internal_errors(false);
    let format = Format::default().with_target(false);
    let set = match logs.encoding {
        Encoding::Console => builder
            .with_ansi(std::io::stderr().is_terminal())
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

/// The usual format, but that a summary's counters stand in it as they are.
struct ConsoleFormat(Format<Full>);

/// The usual format, but that a summary's counters are fields beside the others.
struct JsonFormat(Format<Json>);

impl<S, N> FormatEvent<S, N> for ConsoleFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut summary = Summary::default();
        if event.metadata().target() == SUMMARY {
            event.record(&mut summary);
        }
        let Some(counters) = summary.counters else {
            return self.0.format_event(context, writer, event);
        };
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {:>5} summary", event.metadata().level())?;
        if let Some(component) = summary.component {
            write!(writer, " component={component:?}")?;
        }
        writeln!(writer, ": {counters}")
    }
}

/// The fields of a summary.
#[derive(Default)]
struct Summary {
    counters: Option<String>,
    component: Option<String>,
}

impl Visit for Summary {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            COUNTERS => self.counters = Some(value.to_owned()),
            "component" => self.component = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl<S, N> FormatEvent<S, N> for JsonFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != SUMMARY {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        match flattened(&line) {
            Some(flattened) => writeln!(writer, "{flattened}"),
            None => writer.write_str(&line),
        }
    }
}

/// The line with its counters as fields beside the others.
fn flattened(line: &str) -> Option<Value> {
    let mut fields: serde_json::Map<String, Value> = serde_json::from_str(line).ok()?;
    let counters = fields.remove(COUNTERS)?;
    let counters: serde_json::Map<String, Value> = serde_json::from_str(counters.as_str()?).ok()?;
    fields.extend(counters);
    Some(Value::Object(fields))
}
