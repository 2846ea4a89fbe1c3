//! `queue`: what exporters have kept on disk and not sent yet, for people and for other programs.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use pipeline::config::{Node, NodeValue};
use pipeline::formats::otlp;
use pipeline::telemetry::{Counters, escaped};
use pipeline::{Context, Factory, Registration, Storage, StoredLog};
use prost_types::Timestamp;

use super::{CommandError, print};

/// Prints what this directory holds, be it of one exporter only; with `export` the requests themselves, as OTLP JSON, one a
/// line. Changes nothing.
pub(super) fn queue(
    directory: &Path,
    exporter: Option<&String>,
    export: bool,
) -> Result<(), CommandError> {
    let failed = |error: String| CommandError::Runtime(error);
    let storage = storage(directory).ok_or_else(|| failed("this binary has no storage".into()))?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    let mut write = |request: &[_]| {
        if export && written.is_ok() {
            written = otlp::to_json(request)
                .map_err(std::io::Error::from)
                .and_then(|line| writeln!(out, "{line}"));
        }
    };
    let exporters = storage.exporters();
    let mut exporters = exporters.map_err(|error| failed(error.to_string()))?;
    exporters.retain(|it| exporter.is_none_or(|only| only == it));
    let logs = exporters.iter().map(|it| storage.inspect(it, &mut write));
    let logs: Vec<StoredLog> = logs.collect();
    // A reader that has gone away is no error.
    let _ = written.and_then(|()| out.flush());
    drop(out);
    if export {
        for damage in logs.iter().flat_map(|log| &log.damage) {
            tracing::warn!(damage, "not all that is on disk can be read");
        }
    } else {
        print(&table(&logs));
    }
    Ok(())
}

/// The storage of this directory, by whichever extension keeps one.
fn storage(directory: &Path) -> Option<Arc<dyn Storage>> {
    let text = NodeValue::String(directory.to_string_lossy().into_owned());
    let value = |tree| Node {
        tree,
        ..Node::default()
    };
    let config = value(NodeValue::Map(vec![("directory".into(), value(text))]));
    let context = Context::new(Arc::default(), Counters::new("queue"), "/");
    Registration::all().into_iter().find_map(|it| {
        let Factory::Extension(decode) = &it.factory else {
            return None;
        };
        let extension = (decode(&config).ok()?.value)(&context).ok()?;
        extension.storage()
    })
}

/// A line for each log, and one for each damage.
fn table(logs: &[StoredLog]) -> String {
    let head = [
        "EXPORTER", "REQUESTS", "POINTS", "BYTES", "OLDEST", "NEWEST",
    ];
    let mut rows = vec![head.map(String::from)];
    rows.extend(logs.iter().map(row));
    let width = |column: usize| rows.iter().map(|it| it[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    for log in logs {
        for damage in &log.damage {
            let _ = writeln!(
                text,
                "{}: damaged: {}",
                escaped(&log.exporter),
                escaped(damage)
            );
        }
    }
    text
}

fn row(log: &StoredLog) -> [String; 6] {
    let time = |nanos: u64| {
        let time = UNIX_EPOCH + Duration::from_nanos(nanos);
        Timestamp::from(time).to_string()
    };
    let times = log
        .times_unix_nano
        .map(|(oldest, newest)| [time(oldest), time(newest)]);
    let [oldest, newest] = times.unwrap_or(["-", "-"].map(String::from));
    [
        escaped(&log.exporter).into(),
        log.requests.to_string(),
        log.points.to_string(),
        log.bytes.to_string(),
        oldest,
        newest,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_an_exporter_has_waiting_and_each_damage_is_named() {
        let mut log = StoredLog::new("otlp/a");
        (log.requests, log.points, log.bytes) = (2, 2000, 12_345);
        log.times_unix_nano = Some((1_000_000_000, 61_000_000_000));
        log.damage = vec!["7.segment: set\naside".into()];
        let text = table(&[log, StoredLog::new("gcp")]);
        let expected = "EXPORTER  REQUESTS  POINTS  BYTES  OLDEST                NEWEST\n\
            otlp/a    2         2000    12345  1970-01-01T00:00:01Z  1970-01-01T00:01:01Z\n\
            gcp       0         0       0      -                     -\n\
            otlp/a: damaged: 7.segment: set\\naside\n";
        assert_eq!(text, expected);
    }
}
