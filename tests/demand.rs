//! What nobody wants is never opened: counted from outside, by strace on the real binary.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use rustix::process::Signal;

use crate::common::{self, config, has_program, lacks, lines_until, signal, trace, traced};

/// How often each file of the tree was opened.
fn opens(text: &str) -> BTreeMap<String, usize> {
    let mut opens = BTreeMap::new();
    for name in text
        .lines()
        .filter_map(|line| line.split('"').nth(1))
        .filter(|name| name.starts_with("v_"))
    {
        *opens.entry(name.to_owned()).or_default() += 1;
    }
    opens
}

/// `fast` and `slow` with two files each, of which one is of no interest.
fn tree(root: &Path) {
    for subsystem in ["fast", "slow"] {
        let device = root.join(subsystem).join("dev0");
        std::fs::create_dir_all(&device).unwrap();
        for file in ["wanted", "unwanted"] {
            std::fs::write(device.join(format!("v_{subsystem}_{file}")), "1\n").unwrap();
        }
    }
}

/// Runs until `fast` was shown so often; gives how often each subsystem was shown, what was opened, and the ticks.
fn run(
    processors: &str,
    shown_fast: usize,
) -> (BTreeMap<String, usize>, BTreeMap<String, usize>, u64) {
    let directory = tempfile::tempdir().unwrap();
    let (root, log) = (
        directory.path().join("tree"),
        directory.path().join("strace"),
    );
    tree(&root);
    let receiver = format!("{{root: {}, collection_interval: 100ms}}", root.display());
    let mut child = traced(&config(&receiver, processors, "{}"), &log);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |line: &str| {
        let subsystem = line.split(['/', '.']).next().unwrap().to_owned();
        *shown.entry(subsystem).or_default() += 1;
        shown.get("fast") == Some(&shown_fast)
    };
    lines_until(&mut stdout, &mut count);
    signal(&child, Signal::TERM);
    // What was under way when it got the signal is still shown.
    for line in stdout.lines() {
        count(&line.unwrap());
    }
    let process = child.id();
    let rest = child.wait_with_output().unwrap();
    (
        shown,
        opens(&trace(&log, process)),
        common::ticks(&common::text(&rest.stderr)),
    )
}

#[test]
fn files_nobody_wants_are_never_opened_and_an_interval_is_kept() {
    if !has_program("strace") {
        return lacks(
            "files_nobody_wants_are_never_opened_and_an_interval_is_kept",
            "strace",
        );
    }
    // The filter is on the new name: demand reaches the file through the renaming.
    let labels = "labels: {actions: [{name: {template: '{subsystem}.{metric}'}}, {drop: {match: {name: '*.v_*_unwanted'}}}]}";
    let processors =
        format!("metadata: {{}}; {labels}; batch: {{subsystems: [{{match: slow, interval: 3s}}]}}");
    let (shown, opened, ticks) = run(&processors, 60);
    assert_eq!(
        opened.keys().collect::<Vec<_>>(),
        ["v_fast_wanted", "v_slow_wanted"]
    );
    // Ticks may be missed on a busy machine; then sweep 30 comes at another count. By what was shown:
    assert_eq!(opened["v_fast_wanted"], shown["fast"], "{shown:?}");
    assert_eq!(opened["v_slow_wanted"], shown["slow"], "{shown:?}");
    // A tick that is missed on a busy machine counts, and may be the thirtieth: that one is then made up for, unless all
    // thirty are missed.
    let slow = shown["slow"] as u64;
    assert!(
        slow >= shown["fast"] as u64 / 30 && slow <= ticks / 30 + 1,
        "once in thirty: {shown:?} in {ticks} ticks"
    );

    // Without demand: everything, each time.
    let (shown, opened, _) = run("batch: {}", 8);
    assert_eq!(opened.len(), 4);
    assert_eq!(opened["v_slow_unwanted"] * 2, shown["slow"]);
    assert!(opened["v_slow_wanted"] >= 4);
}
