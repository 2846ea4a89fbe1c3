//! `health`: asks a program that runs, for where there is no shell.

use std::fmt::Write as _;
use std::time::Duration;

use pipeline::telemetry::escaped;
use pipeline_http::{Endpoint, get};
use serde_json::Value;
use tokio::runtime::Builder;

use super::{CommandError, print};

/// An orchestrator gives up earlier, or this does.
const WITHIN: Duration = Duration::from_secs(10);

/// Prints whether the program that listens there is ready, or with `live` alive, and why not. `false`: it is not.
pub(super) fn health(endpoint: &Endpoint, live: bool) -> Result<bool, CommandError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::Runtime(error.to_string()))?;
    let (path, state) = if live {
        ("/livez", "alive")
    } else {
        ("/readyz", "ready")
    };
    let (is_healthy, text) = match runtime.block_on(get(endpoint, path, WITHIN)) {
        Ok((code, _)) if code.is_success() => (true, format!("{state}\n")),
        Ok((code, body)) => (
            false,
            reasons(&body).map_or_else(
                || format!("{endpoint}: no health check, but HTTP {code}\n"),
                |reasons| format!("not {state}\n{reasons}"),
            ),
        ),
        Err(error) => (false, format!("not {state}\n{endpoint}: {error}\n")),
    };
    print(&text);
    Ok(is_healthy)
}

/// A line for each component that is not healthy, and one for what is wrong with the whole program. `None` where the
/// answer is of something else.
fn reasons(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    body["status"].as_str()?;
    let mut lines = Vec::new();
    add_reasons("", &body, &mut lines);
    Some(lines.concat())
}

fn add_reasons(name: &str, of: &Value, lines: &mut Vec<String>) {
    if of["healthy"] == true {
        return;
    }
    let before = lines.len();
    let components = of["components"].as_object();
    for (name, below) in components.into_iter().flatten() {
        add_reasons(name, below, lines);
    }
    let text = |key: &str| of[key].as_str().map(escaped);
    let reason = text("error").or(text("status")).unwrap_or_default();
    // What is told of something below is most often the reason here too.
    if lines[before..].iter().any(|it| it.contains(&*reason)) {
        return;
    }
    let mut line = String::new();
    if !name.is_empty() {
        let _ = write!(line, "{}: ", escaped(name));
    }
    line += &reason;
    if let Some(since) = text("status_time") {
        let _ = write!(line, " (since {since})");
    }
    line.push('\n');
    if !lines.contains(&line) {
        lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_component_that_is_not_healthy_has_a_line_once() {
        let body = r#"{"healthy":false,"status":"StatusRecoverableError","error":"re\u001bfused","components":{
            "extensions":{"healthy":true,"status":"StatusOK"},
            "pipeline:a":{"healthy":false,"components":{
                "exporter:x":{"healthy":false,"error":"re\u001bfused","status_time":"T"},
                "exporter:y":{"healthy":true,"error":"soon"}}},
            "pipeline:b":{"healthy":false,"components":{
                "exporter:x":{"healthy":false,"error":"re\u001bfused","status_time":"T"},
                "receiver:z":{"healthy":false,"status":"StatusStarting"}}}}}"#;
        let reasons = reasons(body).expect("a health check's");
        let escape = "re\\u{1b}fused";
        let expected = format!("exporter:x: {escape} (since T)\nreceiver:z: StatusStarting\n");
        assert_eq!(reasons, expected);
    }

    #[test]
    fn what_is_of_the_whole_stands_beside_what_is_of_a_component() {
        let body = r#"{"healthy":false,"status":"StatusStopping","components":{
            "exporter:x":{"healthy":false,"status":"StatusRecoverableError","error":"refused"}}}"#;
        let expected = "exporter:x: refused\nStatusStopping\n";
        assert_eq!(reasons(body).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_of_the_whole_stands_alone_and_what_is_none_is_told() {
        let body = r#"{"status":"Server not available","uptime":"","error":"blocked"}"#;
        assert_eq!(reasons(body).as_deref(), Some("blocked\n"));
        assert_eq!(reasons("<html>"), None);
        assert_eq!(reasons("[]"), None);
    }
}
