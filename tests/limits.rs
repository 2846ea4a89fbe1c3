//! What is too much: left out, counted and named once, and there when there is room.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::common::{
    BINARY, SeriesCounts, collector, config, device, file, lines, read_until, run, shared_memory,
    signal, spawn, text,
};

#[test]
fn what_is_too_much_is_counted_named_once_and_left_out() {
    let directory = tempfile::tempdir().unwrap();
    for file in [
        "a/f1",
        "a/f2",
        "b/one/f",
        "b/two/f",
        "b/three/f",
        "b/four/f",
        "c/deep/er/f",
    ] {
        let path = directory.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "1\n").unwrap();
    }
    let root = directory.path().display();
    let sweep = |options: &str| {
        let output = run(
            &config(&format!("{{root: {root}, {options}}}"), "batch: {}", "{}"),
            &["--once"],
        );
        (lines(&output.stdout).len(), text(&output.stderr))
    };
    let cases = [
        (
            "limits: {series: 4}",
            4,
            "more series than `limits.series` allows; passed over",
            "series_refused=3 (limit=3)",
        ),
        (
            "limits: {directory_entries: 3}",
            6,
            "more entries than `limits.directory_entries`",
            "entries_refused=",
        ),
        (
            "limits: {files: 4}",
            4,
            "more files than `limits.files`; passed over",
            "entries_refused=3 (limit=3)",
        ),
        (
            "limits: {depth: 2}",
            6,
            "deeper than `limits.depth`; passed over component=\"statsfs\" detail=\"c/deep/er\"",
            "directories_refused=1",
        ),
        (
            "limits: {value_bytes: 1}",
            0,
            "larger than `limits.value_bytes`",
            "too_large=7",
        ),
        (
            "timeout: 1ns",
            0,
            "not read before the sweep's `timeout`",
            "timeout=7",
        ),
    ];
    for (options, series, message, counted) in cases {
        let (found, stderr) = sweep(options);
        assert_eq!(found, series, "{options}: {stderr}");
        assert_eq!(stderr.matches(message).count(), 1, "{options}: {stderr}");
        assert!(stderr.contains(counted), "{options}: {stderr}");
    }
    assert_eq!(sweep("subsystems: {include: [a, b], exclude: [b]}").0, 2);
    assert_eq!(sweep("devices: {exclude: ['t*']}").0, 5);
    assert_eq!(sweep("subsystem: x, layout: '{a}/{b}/{metric}'").0, 6);
}

#[test]
fn an_entry_beyond_the_limit_stays_out_and_drives_none_out() {
    let tree = shared_memory();
    for name in ["a", "b", "c"] {
        file(tree.path(), &format!("s/{name}/c"));
    }
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, rescan_interval: 100ms, limits: {{directory_entries: 3}}}}",
        tree.path().display()
    );
    let mut command = Command::new(BINARY);
    command.args(["--config", "-"]);
    let mut child = spawn(command, &config(&receiver, "batch: {}", "{}"));
    let counts = SeriesCounts::of(&mut child);
    counts.wait_for("s/c{device=/a}", 1);
    // The listing of a tmpfs begins with what came last.
    file(tree.path(), "s/new/c");
    counts.wait_for("s/c{device=/a}", 20);
    let stays = ["a", "b", "c"].map(|name| counts.ends(&format!("s/c{{device=/{name}}}")));
    assert_eq!(stays, [0; 3]);
    assert_eq!(counts.values("s/c{device=/new}"), 0);
    fs::remove_dir_all(tree.path().join("s/b")).unwrap();
    counts.wait_for("s/c{device=/new}", 1);
    signal(&child, Signal::TERM);
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    let line = "more entries than `limits.directory_entries`; passed over component=\"statsfs\" detail=\"s\"";
    assert_eq!(stderr.matches(line).count(), 1, "{stderr}");
    assert!(stderr.contains("entries_refused=1 (limit=1)"), "{stderr}");
}

#[test]
fn series_beyond_the_limit_are_counted_and_named_once() {
    let tree = shared_memory();
    (0..1000).for_each(|number| file(tree.path(), &format!("s{number:03}/d/c")));
    let receiver = format!(
        "{{root: {}, limits: {{series: 400}}}}",
        tree.path().display()
    );
    let output = run(&config(&receiver, "batch: {}", "{}"), &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(text(&output.stdout).lines().count(), 400);
    assert!(
        stderr.contains("series_refused=600 (limit=600)"),
        "{stderr}"
    );
    let line = "more series than `limits.series` allows; passed over component=\"statsfs\" detail=\"s400/d/c (one of 600)\"";
    assert_eq!(stderr.matches(line).count(), 1, "{stderr}");
    assert!(stderr.lines().count() <= 3, "{stderr}");
}

#[test]
fn a_file_that_was_too_many_and_came_again_is_there_once_when_there_is_room() {
    let tree = shared_memory();
    (0..3).for_each(|number| file(tree.path(), &format!("s/d/f{number}")));
    let at = |file: &str| tree.path().join("s/d").join(file);
    let options = "collection_interval: 20ms, rescan_interval: 3s, limits: {series: 3}";
    let receiver = format!("{{root: {}, {options}}}", tree.path().display());
    let mut child = collector(&config(&receiver, "batch: {}", "{}"), &[]);
    let counts = SeriesCounts::of(&mut child);
    let (stays, again) = ("s/f0{device=/d}", "s/again{device=/d}");
    counts.wait_for(stays, 3);
    for _ in 0..2 {
        fs::write(at("again"), "1\n").unwrap();
        counts.wait_for(stays, 5);
        fs::remove_file(at("again")).unwrap();
        counts.wait_for(stays, 5);
    }
    fs::write(at("again"), "1\n").unwrap();
    counts.wait_for(stays, 5);
    fs::remove_file(at("f1")).unwrap();
    fs::remove_file(at("f2")).unwrap();
    counts.wait_for(again, 5);
    let (of_one, of_other) = (counts.values(stays), counts.values(again));
    counts.wait_for(stays, 30);
    let (of_one, of_other) = (
        counts.values(stays) - of_one,
        counts.values(again) - of_other,
    );
    assert!(of_other < of_one + of_one / 2, "{of_other} {of_one}");
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_stood_back_comes_when_there_is_room_for_it() {
    let tree = shared_memory();
    for device in ["a", "b"] {
        fs::create_dir_all(tree.path().join("s").join(device)).unwrap();
        fs::write(
            tree.path().join("s").join(device).join(".schema"),
            "LABEL\nsame yes\n",
        )
        .unwrap();
    }
    fs::write(tree.path().join("s/a/c"), "1\n").unwrap();
    fs::write(tree.path().join("s/b/c"), "2\n").unwrap();
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, rescan_interval: 40ms",
        tree.path().display()
    );
    let mut child = collector(&config(&format!("{receiver}}}"), "batch: {}", "{}"), &[]);
    let first = read_until(&mut child, |_| true);
    assert_eq!(first, ["s/c{same=yes} 1"]);
    fs::remove_dir_all(tree.path().join("s/a")).unwrap();
    let lines = read_until(&mut child, |line| line == "s/c{same=yes} 2");
    assert!(
        lines.iter().all(|line| !line.contains("end")),
        "the series goes on: {lines:?}"
    );
    signal(&child, Signal::TERM);
    child.wait().unwrap();

    device(tree.path(), "one", "3");
    device(tree.path(), "two", "4");
    fs::remove_dir_all(tree.path().join("s/b")).unwrap();
    let mut child = collector(
        &config(
            &format!("{receiver}, limits: {{series: 1}}}}"),
            "batch: {}",
            "{}",
        ),
        &[],
    );
    read_until(&mut child, |line| line == "s/c{device=/one} 3");
    fs::remove_dir_all(tree.path().join("s/one")).unwrap();
    read_until(&mut child, |line| line == "s/c{device=/two} 4");
    signal(&child, Signal::TERM);
    child.wait().unwrap();
}
