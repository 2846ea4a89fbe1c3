//! What changes on the host while the program runs: a mount, permissions, the clock, a stop of the program itself.

use std::fs;
use std::io::{BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::common::{
    self, BINARY, SeriesCounts, as_nobody, collector, config, count, descriptors_and_memory,
    device, find_count, is_root, lacks, lines_until, read_points, signal, spawn, text,
};

fn receiver(root: &Path, options: &str) -> String {
    format!(
        "{{root: {}, collection_interval: 10ms, {options}}}",
        root.display()
    )
}

/// A tmpfs, mounted while this lives.
struct Mounted(PathBuf);

impl Mounted {
    fn on(path: &Path) -> Mounted {
        let mount = ["-t", "tmpfs", "none"];
        assert!(
            Command::new("mount")
                .args(mount)
                .arg(path)
                .status()
                .unwrap()
                .success()
        );
        device(path, "d", "1");
        Mounted(path.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_root_that_is_unmounted_ends_and_goes_on_when_it_is_mounted_again() {
    if !is_root() {
        let test = "a_root_that_is_unmounted_ends_and_goes_on_when_it_is_mounted_again";
        return lacks(test, "root");
    }
    let directory = tempfile::tempdir().unwrap();
    let mut mounted = Mounted::on(directory.path());
    let options = "rescan_interval: 1h";
    let mut child = collector(
        &config(&receiver(directory.path(), options), "batch: {}", "{}"),
        &[],
    );
    let counts = SeriesCounts::of(&mut child);
    let series = "s/c{device=/d}";
    counts.wait_for(series, 5);
    let descriptors = descriptors_and_memory(&child).0;
    for times in 1..=3 {
        drop(mounted);
        while counts.ends(series) < times {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::yield_now();
        }
        mounted = Mounted::on(directory.path());
        counts.wait_for(series, 5);
        assert_eq!(counts.ends(series), times);
    }
    // A scan may hold one more for a moment; one that is left would never go.
    while descriptors_and_memory(&child).0 > descriptors {
        assert!(child.try_wait().unwrap().is_none(), "{descriptors} before");
        std::thread::yield_now();
    }
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let gone = stderr
        .matches("has gone or was replaced; its series end")
        .count();
    // Beside these: the start, the summary, and what a read meets in the midst of it, each said once. Until it is seen that the
    // root has gone, the sandbox refuses its files, to which no path leads any more; a new one is empty until it is written.
    assert!(gone <= 6 && stderr.lines().count() <= 12, "{stderr}");
}

#[test]
fn permissions_that_are_taken_away_and_given_back_lose_nothing_but_the_time_between() {
    let test = "permissions_that_are_taken_away_and_given_back_lose_nothing_but_the_time_between";
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut command = Command::new(BINARY);
    if is_root() {
        let Some(nobody) = as_nobody(test, &directory) else {
            return;
        };
        command = nobody;
    }
    let root = directory.path().join("tree");
    for name in ["file", "directory", "stays"] {
        device(&root, name, "1");
    }
    command.args(["--config", "-"]);
    let receiver = receiver(&root, "rescan_interval: 50ms");
    let mut child = spawn(command, &config(&receiver, "batch: {}", "{}"));
    let counts = SeriesCounts::of(&mut child);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mode = |path: &str, mode| {
        fs::set_permissions(root.join(path), PermissionsExt::from_mode(mode)).unwrap();
    };
    let [file, directory, stays] =
        ["file", "directory", "stays"].map(|name| format!("s/c{{device=/{name}}}"));
    counts.wait_for(&directory, 5);
    for (path, series, readable, warning) in [
        (
            "s/file/c",
            &file,
            0o644,
            "permission denied; passed over (`drop` it by name in `labels`) component=\"statsfs\" detail=\"s/file/c\"",
        ),
        (
            "s/directory",
            &directory,
            0o755,
            "cannot be listed: permission denied; passed over component=\"statsfs\" detail=\"s/directory\"",
        ),
    ] {
        mode(path, 0);
        lines_until(&mut stderr, |line| line.contains(warning));
        let before = counts.values(series);
        counts.wait_for(&stays, 20);
        assert!(counts.values(series) <= before + 1, "{path}");
        mode(path, readable);
        counts.wait_for(series, 5);
    }
    for series in [&file, &directory, &stays] {
        assert_eq!(counts.ends(series), 0, "{series}");
    }
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(find_count(&rest, "permission=").unwrap() > 0, "{rest}");
}

/// The library that sets a program's clock.
fn faketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").unwrap();
    let mut paths = libraries.map(|it| it.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    paths.find(|it| it.is_file())
}

#[test]
fn a_clock_that_is_set_back_and_forward_by_hours_does_no_harm() {
    let test = "a_clock_that_is_set_back_and_forward_by_hours_does_no_harm";
    let Some(library) = faketime() else {
        return lacks(test, "libfaketime (Debian's package faketime)");
    };
    for align in [false, true] {
        let tree = tempfile::tempdir_in("/dev/shm").unwrap();
        device(tree.path(), "d", "100");
        let clock = tree.path().join("clock");
        let set = |offset: &str| {
            fs::write(tree.path().join("next"), offset).unwrap();
            fs::rename(tree.path().join("next"), &clock).unwrap();
        };
        set("+0");
        let mut command = Command::new(BINARY);
        command
            .args(["--config", "-"])
            .env("LD_PRELOAD", &library)
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        let receiver = receiver(tree.path(), &format!("align: {align}"));
        let counters = "metadata: {rules: [{kind: counter}]}";
        let mut child = spawn(command, &config(&receiver, counters, "{format: json}"));
        let hour = 3_600_000_000_000;
        let mut last = read_points(&mut child, |_, _| true)[0].2;
        for (offset, hours) in [("-5h", -5), ("+3h", 8), ("-26h", -29), ("+0", 26)] {
            set(offset);
            let mut seen = 0;
            let shown = read_points(&mut child, |_, _| {
                seen += 1;
                seen == 20
            });
            for (value, start, time) in &shown {
                assert_eq!(*value, Some(100));
                assert!(start <= time, "{offset}: {start} {time}");
            }
            let time = shown.last().unwrap().2;
            let moved = i128::from(time) - i128::from(last);
            assert!((moved - hours * hour).abs() < hour / 2, "{offset}: {moved}");
            last = time;
            let starts = shown.windows(2).filter(|pair| pair[0].1 != pair[1].1);
            assert!(starts.count() <= 1, "one new start at the most: {shown:?}");
        }
        signal(&child, Signal::TERM);
        let output = child.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert!(
            output.status.success() && !stderr.contains("WARN"),
            "{stderr}"
        );
    }
}

#[test]
fn a_program_that_is_stopped_for_a_while_counts_what_it_missed_and_goes_on() {
    let tree = tempfile::tempdir_in("/dev/shm").unwrap();
    (0..200).for_each(|number| device(tree.path(), &format!("d{number}"), "1"));
    // It may be stopped in the midst of a sweep, for however long the clock takes.
    let options = "read: auto, timeout: 1h";
    let config = config(&receiver(tree.path(), options), "batch: {}", "{}");
    let mut child = collector(&config, &[]);
    let counts = SeriesCounts::of(&mut child);
    // Another one is the clock.
    let mut clock = collector(&config, &[]);
    let clock_counts = SeriesCounts::of(&mut clock);
    let series = "s/c{device=/d0}";
    counts.wait_for(series, 50);
    let (descriptors, memory) = descriptors_and_memory(&child);
    signal(&child, Signal::STOP);
    clock_counts.wait_for(series, 200);
    let before = counts.values(series);
    signal(&child, Signal::CONT);
    counts.wait_for(series, 50);
    let (descriptors_now, memory_now) = descriptors_and_memory(&child);
    assert!(
        descriptors_now <= descriptors + 2,
        "{descriptors_now} {descriptors}"
    );
    assert!(
        memory_now < memory + 4096,
        "{memory_now} KiB, {memory} before"
    );
    for child in [&child, &clock] {
        signal(child, Signal::TERM);
    }
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    assert!(clock.wait().unwrap().success());
    common::assert_fault(
        "the program is stopped for a while (`SIGSTOP`)",
        "what would have been read meanwhile",
        &stderr,
        &["sweeps_skipped=N"],
    );
    // It was two hundred ticks at least, but for what was shown and not counted here yet.
    assert!(
        count(&stderr, "sweeps_skipped") >= 150,
        "{before}: {stderr}"
    );
    assert!(!stderr.contains("WARN"), "{stderr}");
}
