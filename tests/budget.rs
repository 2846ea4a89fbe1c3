//! Too much to read for the time, or for the CPU time, that there is: who gives way.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;

use common::{Shown, collector, config, find_count, lines_until, signal};
use rustix::process::Signal;

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
    let tree = tree(&["a", "b", "c"], 1000);
    // Nobody reads three thousand files in a millisecond.
    let receiver = receiver(tree.path(), "collection_interval: 1ms");
    let mut child = collector(&config(&receiver, "batch: {}", "{}"), &[]);
    let shown = Shown::by(&mut child);
    shown.wait_for("a/f0{device=/d}", 50);
    let [a, b, c] = ["a", "b", "c"].map(|it| shown.values(&format!("{it}/f0{{device=/d}}")));
    assert!(b * 2 > a && c * 2 > a, "{a} {b} {c}");
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn over_the_budget_what_matters_less_gives_way() {
    let tree = tree(&["dear", "other"], 500);
    // Some milliseconds each at every tenth: far over one percent.
    let options =
        "collection_interval: 10ms, max_cpu_percent: 1, priorities: [{match: dear, priority: 10}]";
    let mut child = collector(
        &config(&receiver(tree.path(), options), "batch: {}", "{}"),
        &[],
    );
    let shown = Shown::by(&mut child);
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let over = "reading would take more than `max_cpu_percent: 1`; swept less often: ";
    let lines = lines_until(&mut told, |line| line.contains(over));
    let named = lines.last().unwrap().split(over).nth(1).unwrap().to_owned();
    assert!(named.contains("other"), "{named}");
    shown.wait_for("dear/f0{device=/d}", 20);
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!rest.contains("swept less often"), "said once: {rest}");
    assert!(find_count(&rest, "max_cpu_percent=").unwrap() > 0, "{rest}");
}
