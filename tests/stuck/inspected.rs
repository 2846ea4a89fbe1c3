//! `inspect` ends where something does not answer, and lists it as such.

use std::io::Read;
use std::process::Command;

use serde_json::Value;

use super::fuse::HangingFilesystem;
use super::run::files;
use crate::common::alone::{CPU, alone};
use crate::common::{BINARY, config, lacks, spawn};
use crate::inspect::why;

/// What is listed while this does not answer; `None`, reported on standard error, where FUSE is not to be had.
fn listed(test: &str, hangs: &str) -> Option<Vec<Value>> {
    let Some(system) = HangingFilesystem::mount(&files(&["bad", "good"])) else {
        lacks(test, "/dev/fuse, and root or fusermount3");
        return None;
    };
    system.hang(hangs);
    let receiver = format!("{{root: {}, timeout: 2s}}", system.root().display());
    let mut command = Command::new(BINARY);
    command.args(["inspect", "--read", "--config", "-"]);
    let mut child = spawn(command, &config(&receiver, "", "{}"));
    let stat = format!("/proc/{0}/task/{0}/stat", child.id());
    while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    // What is still stuck in the kernel gets its answer, which it takes for the process to go.
    system.answer(hangs);
    let mut stdout = String::new();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_to_string(&mut stdout).unwrap();
    assert!(child.wait().unwrap().success());
    let records = stdout
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap());
    Some(records.collect())
}

#[test]
fn what_does_not_answer_is_listed_as_such() {
    let _cpu = alone(&CPU);
    let test = "what_does_not_answer_is_listed_as_such";
    let Some(records) = listed(test, "bad/d/f3") else {
        return;
    };
    let stuck = why(&records, "bad/d/f3");
    assert!(
        stuck.starts_with("failed; stuck; does not answer"),
        "{stuck}"
    );
    let read = records.iter().filter(|it| it["state"] == "read");
    assert_eq!(read.count(), 11, "{records:#?}");
    let Some(records) = listed(test, "bad") else {
        return;
    };
    let stuck = why(&records, "bad/");
    assert!(
        stuck.starts_with("left_out; stuck; a directory does not answer"),
        "{stuck}"
    );
    assert_eq!(records.len(), 7, "{records:#?}");
}
