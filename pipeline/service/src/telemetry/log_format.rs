//! How lines of the logs are written.

use std::fmt;

use pipeline::telemetry::{escaped, json_escaped};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::{MakeExt, RecordFields};
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The field with the counters of a summary: written as fields of their own.
const COUNTERS: &str = "counters";

/// The target of summaries.
pub(super) const SUMMARY: &str = "pipeline_service::summary";

/// The usual fields, but that nothing in them ends the line or moves the cursor, however they are recorded: the message,
/// a text, an error by `%`, a value by `?`.
pub(super) struct ConsoleFields;

impl<'writer> FormatFields<'writer> for ConsoleFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let is_colored = writer.has_ansi_escapes();
        let fields_format = debug_fn(move |writer: &mut Writer<'_>, field, value| {
            let value = format!("{value:?}");
            let value = escaped(&value);
            match field.name().trim_start_matches("r#") {
                "message" => write!(writer, "{value}"),
                // Of records of the `log` crate: where they are from.
                name if name.starts_with("log.") => Ok(()),
                name if is_colored => {
                    write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}")
                }
                name => write!(writer, "{name}={value}"),
            }
        });
        fields_format.delimited(" ").format_fields(writer, fields)
    }
}

/// The usual format, but that a summary's counters stand in it as they are.
pub(super) struct ConsoleFormat(pub(super) Format<Full>);

/// The usual format, but that a summary's counters are fields beside the others.
pub(super) struct JsonFormat(pub(super) Format<Json>);

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
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        if event.metadata().target() == SUMMARY
            && let Some(flattened) = flattened(&line)
        {
            line = flattened.to_string();
        }
        writeln!(writer, "{}", json_escaped(line.trim_end_matches('\n')))
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use pipeline::telemetry::is_control_or_format;
    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
        }
    }

    /// Shown as it is, as a foreign type may well be.
    struct Raw<'a>(&'a str);

    impl fmt::Debug for Raw<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    /// Logs a text in each way in which one may be logged.
    fn log(text: &str) {
        let error: &dyn std::error::Error = &io::Error::other(text);
        let (detail, raw) = (text, Raw(text));
        tracing::info_span!("span", text = %text).in_scope(|| {
            tracing::warn!(detail, shown = %text, ?raw, error, "text: {text}");
            tracing::info!(target: SUMMARY, counters = r#"{"a":1}"#, component = text, "summary");
        });
    }

    /// Texts of odd characters and of any.
    fn texts(seed: u64) -> impl Iterator<Item = String> {
        let mut random = fastrand::Rng::with_seed(seed);
        let odd = "\n\r\t\u{1b}\0\u{7f}\u{85}\u{9b}\u{61c}\u{200e}\u{2028}\u{202e}\u{2066}\u{feff}\u{e0001}\"\\";
        let odd: Vec<char> = odd.chars().collect();
        (0..3_000).map(move |_| {
            let character = |random: &mut fastrand::Rng| {
                if random.bool() {
                    odd[random.usize(..odd.len())]
                } else {
                    random.char(..)
                }
            };
            (0..8).map(|_| character(&mut random)).collect()
        })
    }

    fn assert_one_line(line: &str, seed: u64) {
        let line = line.strip_suffix('\n').unwrap();
        assert!(
            !line.contains(is_control_or_format),
            "seed {seed}: {line:?}"
        );
    }

    #[test]
    fn no_text_makes_a_line_of_its_own_on_the_console() {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .with_ansi(false)
            .fmt_fields(ConsoleFields)
            .event_format(ConsoleFormat(Format::default().with_target(false)))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            log("plain");
            let lines = written.take();
            let expected = r#"WARN span{text=plain}: text: plain detail="plain" shown=plain raw=plain error=plain"#;
            assert!(lines.contains(expected), "{lines}");
            let seed = fastrand::u64(..);
            for text in texts(seed) {
                log(&text);
                let lines = written.take();
                let (first, second) = lines.split_at(lines.find('\n').unwrap() + 1);
                assert_one_line(first, seed);
                assert_one_line(second, seed);
            }
        });
    }

    #[test]
    fn no_text_makes_a_line_of_its_own_in_json_and_all_read_back() {
        let written = Written::default();
        let to = written.clone();
        let format = Format::default().json().flatten_event(true);
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonFormat(format))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let seed = fastrand::u64(..);
            for text in texts(seed) {
                log(&text);
                let lines = written.take();
                let (first, second) = lines.split_at(lines.find('\n').unwrap() + 1);
                assert_one_line(first, seed);
                assert_one_line(second, seed);
                let read: Value = serde_json::from_str(first).unwrap();
                assert_eq!(read["detail"], *text);
                let read: Value = serde_json::from_str(second).unwrap();
                assert_eq!(
                    (&read["a"], &read["component"]),
                    (&Value::from(1), &Value::from(text))
                );
            }
        });
    }
}
