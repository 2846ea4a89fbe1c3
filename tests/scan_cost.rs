//! What a change costs among many that do not change: counted from outside, by strace on the real binary.

use std::process::Command;

use rustix::process::Signal;

use crate::common::alone::{CPU, alone};
use crate::common::{BINARY, SeriesCounts, config, file, has_program, lacks, signal, spawn, trace};

#[test]
fn a_device_that_comes_among_many_costs_the_listing_of_its_own_directory() {
    // Two thousand devices under strace load the cores.
    let _cpu = alone(&CPU);
    let test = "a_device_that_comes_among_many_costs_the_listing_of_its_own_directory";
    if !has_program("strace") {
        return lacks(test, "strace");
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let (root, log) = (directory.path().join("tree"), directory.path().join("log"));
    (0..2000).for_each(|number| file(&root, &format!("s/d{number}/c")));
    let receiver = format!(
        "{{root: {}, collection_interval: 50ms, rescan_interval: 1h}}",
        root.display()
    );
    let mut command = Command::new("strace");
    command
        .args(["--follow-forks", "--daemonize", "--decode-fds=path"])
        .args([
            "--quiet=attach,personality",
            "--trace=getdents64",
            "--output",
        ])
        .arg(&log)
        .arg(BINARY)
        .args(["--config", "-"]);
    let mut child = spawn(command, &config(&receiver, "batch: {}", "{}"));
    let counts = SeriesCounts::of(&mut child);
    counts.wait_for("s/c{device=/d0}", 1);
    for number in 0..5 {
        file(&root, &format!("s/new{number}/c"));
        counts.wait_for(&format!("s/c{{device=/new{number}}}"), 1);
    }
    signal(&child, Signal::TERM);
    let id = child.id();
    assert!(child.wait_with_output().unwrap().status.success());
    let trace = trace(&log, id);
    let listings: Vec<&str> = trace
        .lines()
        .filter_map(|line| Some(line.split_once("getdents64(")?.1.split_once('>')?.0))
        .filter_map(|opened| Some(opened.split_once("tree/")?.1))
        .collect();
    assert!(listings.contains(&"s"), "at the first scan: {listings:?}");
    let first = listings.iter().position(|it| *it == "s/new0").unwrap();
    let since = &listings[first..];
    let own = since.iter().filter(|it| it.starts_with("s/new"));
    assert_eq!(own.count(), since.len(), "{since:?}");
    // Two calls a listing: what there is, and that there is no more. Once when it comes, once more for its file.
    assert!(since.len() <= 5 * 4, "{since:?}");
}
