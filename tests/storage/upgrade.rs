//! The next version, which writes the next format, on the directory of this one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::{Setting, drain, leave};
use crate::common::peer::assert_accounted;
use crate::common::{BINARY, count, end, has_program, lacks, repository, spawn, text};

/// The program once more, with the next format.
fn next_version(test: &str) -> Option<PathBuf> {
    if !has_program("cargo") {
        lacks(test, "cargo, to build the next version");
        return None;
    }
    if std::env::var_os("CI").is_none() {
        lacks(test, "CI=true: it builds the program once more");
        return None;
    }
    let this = Path::new(BINARY).parent().unwrap();
    let mut command = Command::new(repository("scripts/next-format.sh"));
    let output = command.arg(this).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout).trim().into())
}

fn start(binary: &Path, config: &str) -> Child {
    let mut command = Command::new(binary);
    command.args(["--config", "-"]);
    spawn(command, config)
}

/// A segment of format 1: two requests of four points, of which each was read a microsecond after the one before.
const FORMAT_1: &[u8] = include_bytes!("format-1.segment");

#[test]
fn what_format_1_holds_is_read() {
    let setting = Setting::new();
    let folder = setting.directory().join("otlp");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("00000000000000000000.segment"), FORMAT_1).unwrap();
    let first = [1_795_743_994_500_410_097, 1_795_743_994_500_414_523];
    let expected = first
        .into_iter()
        .flat_map(|it| (0..4).map(move |row| it + row * 1000));
    assert_eq!(setting.waiting(), expected.collect());
}

#[test]
fn the_next_version_sends_what_this_one_has_left_and_this_one_refuses_what_that_one_has() {
    let test =
        "the_next_version_sends_what_this_one_has_left_and_this_one_refuses_what_that_one_has";
    let Some(next) = next_version(test) else {
        return;
    };
    let setting = Setting::new();
    leave(&setting, 2000, "");
    let by_this = setting.waiting();
    let bytes: u64 = setting
        .segments()
        .iter()
        .map(|it| it.metadata().unwrap().len())
        .sum();
    let child = start(&next, &setting.config(""));
    setting.wait_for_bytes(bytes + 1000);
    end(child);

    let output = start(Path::new(BINARY), &setting.config(""))
        .wait_with_output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("it is of format 3, which a newer version"),
        "{stderr}"
    );

    let server = setting.serve();
    let child = start(&next, &setting.config(""));
    while setting.arrived().len() < by_this.len() + 50 {
        std::thread::yield_now();
    }
    let stderr = end(child);
    let arrived: BTreeSet<u64> = setting.arrived().into_iter().collect();
    assert!(by_this.is_subset(&arrived), "{stderr}");
    assert_accounted(&stderr);
    assert_eq!(count(&stderr, "points_queued"), 0, "{stderr}");
    drop(server);
    let stderr = drain(&setting, "");
    assert_accounted(&stderr);
    let arrived = setting.arrived();
    assert!(arrived.is_sorted_by(|a, b| a < b), "in order, and once");
}
