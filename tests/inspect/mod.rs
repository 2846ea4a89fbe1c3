//! `inspect`: what is swept and what is not, with what becomes of it and why.

mod agrees;
mod reasons;
mod table;

use std::process::{Command, Output};

use serde_json::Value;

use crate::common::{BINARY, spawn, text};

/// Runs `inspect` to its end with this configuration; with the embedded default where it is `None`.
fn output(config: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("inspect").args(arguments);
    if config.is_some() {
        command.args(["--config", "-"]);
    }
    let child = spawn(command, config.unwrap_or_default());
    child.wait_with_output().unwrap()
}

/// The records of a run that succeeds and says nothing on standard error; the first line has the resource.
pub(crate) fn records(config: Option<&str>, arguments: &[&str]) -> Vec<Value> {
    let output = output(config, arguments);
    let stderr = text(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let stdout = text(&output.stdout);
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let mut lines: Vec<Value> = lines.collect();
    assert!(lines.remove(0)["resource"]["host.name"].is_string());
    lines
}

/// The record of this source, of which there is one.
pub(crate) fn of<'a>(records: &'a [Value], source: &str) -> &'a Value {
    let found: Vec<&Value> = records.iter().filter(|it| it["source"] == source).collect();
    assert_eq!(found.len(), 1, "{source}: {found:?} of {records:#?}");
    found[0]
}

/// State, component, reason and detail of a source, without what is not there.
pub(crate) fn why(records: &[Value], source: &str) -> String {
    let record = of(records, source);
    let keys = ["state", "component", "reason", "detail"];
    let texts = keys.iter().filter_map(|key| record[key].as_str());
    texts.collect::<Vec<_>>().join("; ")
}
