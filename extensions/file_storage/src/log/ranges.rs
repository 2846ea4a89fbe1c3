//! Ranges of a log.

use pipeline::{LogPosition, LogRange};

/// Whether a range has something in common with any of these.
pub(crate) fn overlaps(all: &[LogRange], range: &LogRange) -> bool {
    all.iter()
        .any(|it| it.start < range.end && range.start < it.end)
}

/// These, and what is from one position to the end of the log: what came after it was written down.
pub(crate) fn with_rest(
    mut ranges: Vec<LogRange>,
    from: LogPosition,
    to: LogPosition,
) -> Vec<LogRange> {
    ranges.retain(|it| it.start < it.end);
    if from < to {
        match ranges.last_mut() {
            Some(last) if last.end == from => last.end = to,
            _ => ranges.push(from..to),
        }
    }
    ranges
}
