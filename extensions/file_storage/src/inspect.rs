//! What a log holds, for who only looks at it.

use std::path::Path;

use pipeline::{Batch, LogPosition, StoredLog};

use crate::directory::folder;
use crate::log::recover;
use crate::segment::{Item, SegmentReader};

/// Looks at an exporter's log, and changes nothing.
pub(crate) fn inspect(
    directory: &Path,
    exporter: &str,
    visit: &mut dyn FnMut(&[Batch]),
) -> StoredLog {
    let mut log = StoredLog::new(exporter);
    if let Err(error) = look(&folder(directory, exporter), &mut log, visit) {
        log.damage.push(error);
    }
    log
}

fn look(folder: &Path, log: &mut StoredLog, visit: &mut dyn FnMut(&[Batch])) -> Result<(), String> {
    let error = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        log.bytes += entry.metadata().map_or(0, |it| it.len());
        if entry.file_name().to_string_lossy().ends_with(".damaged") {
            log.damage
                .push(format!("{}: set aside", entry.path().display()));
        }
    }
    let found = recover(folder, false)?;
    log.damage.extend(found.damage);
    let is_pending = |at: LogPosition| {
        let mut ranges = found.cursor.pending.iter();
        ranges.any(|it| it.start <= at && at < it.end)
    };
    for segment in &found.segments {
        let path = segment.path.display();
        let mut reader = match SegmentReader::open(&segment.path) {
            Ok(Ok(reader)) => reader,
            // It was sent meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            _ => {
                log.damage.push(format!("{path}: it cannot be read"));
                continue;
            }
        };
        loop {
            match reader.next(segment.len, is_pending) {
                Ok(Item::Request {
                    envelope, request, ..
                }) => {
                    let Some(request) = request else { continue };
                    let time = envelope.time;
                    let times = log.times_unix_nano.unwrap_or((time, time));
                    log.times_unix_nano = Some((times.0.min(time), times.1.max(time)));
                    log.requests += 1;
                    log.points += envelope.points;
                    visit(&request);
                }
                Ok(Item::End { torn }) => {
                    if torn.is_some() || reader.is_damaged() {
                        log.damage
                            .push(format!("{path}: records of it cannot be read"));
                    }
                    break;
                }
                Err(error) => {
                    log.damage.push(format!("{path}: {error}"));
                    break;
                }
            }
        }
    }
    Ok(())
}
