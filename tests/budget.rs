//! Too much to read for the time, or for the CPU time, that there is: what is swept less often.
//!
//! Tests of a budget have the cores to themselves: CPU time is measured, and where they are loaded all give way.

use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::common::alone::{CPU, alone};
use crate::common::{
    BINARY, SeriesCounts, collector, config, find_count, lines_until, signal, spawn,
};

/// Subsystems of so many files each.
fn tree(subsystems: &[&str], files: usize) -> tempfile::TempDir {
    let tree = tempfile::tempdir_in("/dev/shm").unwrap();
    for subsystem in subsystems {
        let device = tree.path().join(subsystem).join("d");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("f0"), "1\n").unwrap();
        (1..files).for_each(|file| {
            fs::hard_link(device.join("f0"), device.join(format!("f{file}"))).unwrap();
        });
    }
    tree
}

fn receiver(root: &Path, options: &str) -> String {
    format!("{{root: {}, {options}}}", root.display())
}

#[test]
fn where_there_is_too_much_to_read_all_get_their_turn() {
    let _cpu = alone(&CPU);
    let tree = tree(&["a", "b", "c"], 1000);
    // Nobody reads three thousand files in a millisecond.
    let receiver = receiver(tree.path(), "collection_interval: 1ms");
    let mut child = collector(&config(&receiver, "batch: {}", "{}"), &[]);
    let counts = SeriesCounts::of(&mut child);
    counts.wait_for("a/f0{device=/d}", 50);
    let [a, b, c] = ["a", "b", "c"].map(|it| counts.values(&format!("{it}/f0{{device=/d}}")));
    assert!(b * 2 > a && c * 2 > a, "{a} {b} {c}");
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_budget_holds_for_what_is_wanted_at_an_interval_of_many_ticks_too() {
    let _cpu = alone(&CPU);
    let tree = tree(&["other", "vital"], 4000);
    for file in 1..4000 {
        fs::remove_file(tree.path().join(format!("vital/d/f{file}"))).unwrap();
    }
    let options =
        "collection_interval: 50ms, max_cpu_percent: 1, priorities: [{match: vital, priority: 10}]";
    let batch = "batch: {subsystems: [{match: '*', interval: 500ms}]}";
    let receiver = receiver(tree.path(), options);
    let mut child = collector(&config(&receiver, batch, "{}"), &[]);
    let counts = SeriesCounts::of(&mut child);
    counts.wait_for("vital/f0{device=/d}", 14);
    let [vital, other] =
        ["vital", "other"].map(|it| counts.values(&format!("{it}/f0{{device=/d}}")));
    assert!(other > 0 && other * 3 < vital * 2, "{other} {vital}");
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn over_the_budget_what_matters_less_is_swept_less_often() {
    let _cpu = alone(&CPU);
    let tree = tree(&["other", "vital"], 2000);
    for file in 1..2000 {
        fs::remove_file(tree.path().join(format!("vital/d/f{file}"))).unwrap();
    }
    // Two thousand files each 50 ms take far more than one percent of a core, one file does not.
    let options =
        "collection_interval: 50ms, max_cpu_percent: 1, priorities: [{match: vital, priority: 10}]";
    let mut command = Command::new(BINARY);
    command.args(["--config", "-"]).env("RUST_LOG", "debug");
    let config = config(&receiver(tree.path(), options), "batch: {}", "{}");
    let mut child = spawn(command, &config);
    let counts = SeriesCounts::of(&mut child);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let over =
        "reading would take more than `max_cpu_percent`; some subsystems are swept less often";
    let lines = lines_until(&mut stderr, |line| line.contains(over));
    assert!(
        lines
            .last()
            .unwrap()
            .ends_with("max_cpu_percent=1 subsystems=\"other\""),
        "{lines:?}"
    );
    counts.wait_for("vital/f0{device=/d}", 60);
    let [vital, other] =
        ["vital", "other"].map(|it| counts.values(&format!("{it}/f0{{device=/d}}")));
    assert!(other > 0 && other * 2 < vital, "{other} {vital}");
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!rest.contains(over), "warned of once: {rest}");
    let skipped = |subsystem: &str| {
        let of = format!("component=\"statsfs {subsystem}\"");
        let line = rest.lines().rfind(|line| line.contains(&of));
        find_count(line.unwrap(), "max_cpu_percent=").unwrap_or_default()
    };
    assert!(skipped("other") >= other, "{rest}");
    assert_eq!(skipped("vital"), 0, "{rest}");
}
