//! Whether the program is alive, in the words of the Collector's `health_check`.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::{rfc3339, stalled_text};

/// The answer's body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Liveness {
    status: &'static str,
    up_since: String,
    uptime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What is told of a program that runs for so long; it is alive if none of its threads is stalled.
pub(crate) fn answer(stalled: &[&str], uptime: Duration, now: SystemTime) -> Liveness {
    let error = stalled_text(stalled);
    if error.is_some() {
        return Liveness {
            status: "Server not available",
            // The zero of Go's clock, as the Collector has it.
            up_since: "0001-01-01T00:00:00Z".into(),
            uptime: String::new(),
            error,
        };
    }
    Liveness {
        status: "Server available",
        up_since: rfc3339(now.checked_sub(uptime).unwrap_or(now)),
        uptime: go(uptime),
        error,
    }
}

/// As Go writes durations: `1h2m3.5s`
/// ([`Duration.String`](https://pkg.go.dev/time#Duration.String)), with milliseconds.
fn go(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if seconds >= 60 {
        let _ = write!(text, "{minutes}m");
    }
    let fraction = format!(".{millis:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let _ = write!(text, "{}{fraction}s", seconds % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_collectors() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let live = answer(&[], Duration::from_millis(49_013), now);
        let expected = r#"{"status":"Server available","upSince":"2001-09-09T01:45:50.987Z","uptime":"49.013s"}"#;
        assert_eq!(serde_json::to_string(&live).unwrap(), expected);
        let stalled = answer(&["pipeline"], Duration::from_secs(9), now);
        let expected = r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":"","error":"the pipeline thread does nothing new for 5s: something blocks it"}"#;
        assert_eq!(serde_json::to_string(&stalled).unwrap(), expected);
    }

    #[test]
    fn uptimes_are_written_as_in_go() {
        for (millis, text) in [
            (0, "0s"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (3_600_000, "1h0m0s"),
            (93_784_005, "26h3m4.005s"),
        ] {
            assert_eq!(go(Duration::from_millis(millis)), text);
        }
    }
}
