//! The disk is full, or the directory may not be used.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::failing::assert_recovers;
use super::{Setting, drain, ended_by_term, files, leave, log_until, stderr};
use crate::common::peer::assert_accounted;
use crate::common::{
    as_nobody, assert_fault, collector, count, count_after, is_root, lacks, lines_until, spawn,
    text,
};

/// A small disk of its own, as long as this lives.
struct SmallDisk<'a>(&'a std::path::Path);

impl SmallDisk<'_> {
    fn mount<'a>(test: &str, at: &'a std::path::Path) -> Option<SmallDisk<'a>> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"])
            .arg(at);
        if !is_root() || !mount.status().is_ok_and(|it| it.success()) {
            lacks(test, "the right to mount a tmpfs");
            return None;
        }
        Some(SmallDisk(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_once_nothing_is_lost_and_it_goes_on_when_there_is_room() {
    let test = "a_full_disk_is_told_once_nothing_is_lost_and_it_goes_on_when_there_is_room";
    let setting = Setting::new();
    let directory = setting.directory();
    let Some(_disk) = SmallDisk::mount(test, &directory) else {
        return;
    };
    let mut child = setting.start("");
    let mut log = stderr(&mut child);
    setting.wait_for_bytes(1000);
    let filler = directory.join("filler");
    let _ = std::fs::write(&filler, vec![1; 256 << 10]);
    log_until(&mut log, "the queue cannot be written to the disk");
    std::fs::remove_file(&filler).unwrap();
    let rest = assert_recovers(&setting, child, log);
    assert_fault(
        "the disk of the queue is full for a while",
        "nothing that has room in memory meanwhile",
        &rest,
        &[],
    );
}

#[test]
fn a_disk_that_may_only_be_read_at_the_start_is_told_and_what_is_there_is_sent() {
    let test = "a_disk_that_may_only_be_read_at_the_start_is_told_and_what_is_there_is_sent";
    let setting = Setting::new();
    let directory = setting.directory();
    let Some(_disk) = SmallDisk::mount(test, &directory) else {
        return;
    };
    leave(&setting, 1000, "");
    let mut mount = Command::new("mount");
    mount.args(["-o", "remount,ro"]).arg(&directory);
    assert!(mount.status().unwrap().success());
    let waiting = setting.waiting();
    let _server = setting.serve();
    let mut child = setting.start("");
    let mut log = stderr(&mut child);
    log_until(&mut log, "the queue cannot be written to the disk");
    while setting.arrived().len() < waiting.len() + 10 {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    let rest = ended_by_term(&child, &mut log);
    let arrived: BTreeSet<u64> = setting.arrived().into_iter().collect();
    assert!(waiting.is_subset(&arrived), "{rest}");
    assert_accounted(&rest);
    assert_eq!(count(&rest, "points_dropped"), 0, "{rest}");
    assert_fault(
        "the disk of the queue may only be read when the program starts",
        "nothing; what was on it is sent, and comes again at the next start",
        &rest,
        &[],
    );
}

#[test]
fn what_is_more_than_max_size_gives_way_from_the_oldest_on_and_is_counted() {
    let setting = Setting::new();
    let more = "max_size: 64KiB";
    let config = setting
        .config(more)
        .replace("queue_size: 3", "queue_size: 3, overflow: drop_oldest");
    let mut child = collector(&config, &[]);
    let mut log = stderr(&mut child);
    log_until(&mut log, "what waits on disk takes more than `max_size`");
    let rest = ended_by_term(&child, &mut log);
    assert!(child.wait().unwrap().success(), "{rest}");
    assert_accounted(&rest);
    let waiting = setting.waiting().len() as u64;
    assert_eq!(count(&rest, "points_queued"), waiting, "{rest}");
    let size: u64 = setting
        .segments()
        .iter()
        .map(|it| it.metadata().unwrap().len())
        .sum();
    assert!(size <= 64 << 10, "{size}");
    assert_fault(
        "the queue on disk has more than `max_size`, with `overflow: drop_oldest`",
        "the oldest requests on disk, an eighth of it at a time",
        &rest,
        &["storage_full=N"],
    );
    let drained = drain(&setting, more);
    assert!(count_after(&drained, "storage_full=") == 0, "{drained}");
}

#[test]
fn with_block_sweeps_wait_where_max_size_waits_on_disk_and_nothing_is_lost() {
    let setting = Setting::new();
    let config = setting
        .config("max_size: 64KiB")
        .replace("queue_size: 3", "queue_size: 3, overflow: block")
        .replace(
            "service:\n",
            "service:\n  telemetry: {logs: {summary_interval: 50ms}}\n",
        );
    let mut child = collector(&config, &[]);
    let mut log = stderr(&mut child);
    log_until(&mut log, "takes more than `max_size`; sweeps wait for room");
    let oldest = *setting.waiting().first().unwrap();
    let _server = setting.serve();
    // What was skipped is counted when the receiver goes on.
    lines_until(&mut log, |line| count(line, "sweeps_skipped") > 0);
    let rest = ended_by_term(&child, &mut log);
    assert!(child.wait().unwrap().success(), "{rest}");
    assert_accounted(&rest);
    assert_eq!(count(&rest, "points_dropped"), 0, "{rest}");
    let arrived = setting.arrived();
    assert!(arrived.is_sorted_by(|a, b| a < b), "in order, and once");
    assert!(arrived[0] <= oldest);
    let left = count(&rest, "points_queued");
    assert_eq!(arrived.len() as u64 + left, count(&rest, "points_handed"));
    assert_fault(
        "the queue on disk has more than `max_size`, with `overflow: block`",
        "nothing that was read: sweeps that are due meanwhile are left out",
        &rest,
        &["sweeps_skipped=N"],
    );
}

#[test]
fn with_drop_newest_what_comes_is_dropped_where_max_size_waits_on_disk() {
    let setting = Setting::new();
    let config = setting
        .config("max_size: 64KiB")
        .replace("queue_size: 3", "queue_size: 3, overflow: drop_newest");
    let mut child = collector(&config, &[]);
    let mut log = stderr(&mut child);
    log_until(&mut log, "takes more than `max_size`; the newest requests");
    let waiting = setting.waiting();
    let rest = ended_by_term(&child, &mut log);
    assert!(child.wait().unwrap().success(), "{rest}");
    assert_accounted(&rest);
    let left = setting.waiting();
    assert!(waiting.is_subset(&left), "nothing gives way");
    assert_eq!(count(&rest, "points_queued"), left.len() as u64, "{rest}");
    assert_fault(
        "the queue on disk has more than `max_size`, with `overflow: drop_newest`",
        "the newest requests",
        &rest,
        &["storage_full=N"],
    );
}

#[test]
fn what_is_more_than_max_size_is_thinned_by_default_so_that_the_whole_outage_stays() {
    let setting = Setting::new();
    let more = "max_size: 64KiB";
    let mut child = setting.start(more);
    let mut log = stderr(&mut child);
    setting.wait_for_bytes(2000);
    let oldest = *setting.waiting().first().unwrap();
    log_until(&mut log, "its sweeps are thinned");
    let newest = *setting.waiting().last().unwrap();
    let rest = ended_by_term(&child, &mut log);
    assert_accounted(&rest);
    assert_eq!(count(&rest, "points_dropped"), 0, "{rest}");
    let left = count(&rest, "points_queued");
    // What was thinned counts as queued until it is passed.
    assert!(left > setting.waiting().len() as u64, "{rest}");
    let drained = drain(&setting, more);
    assert_accounted(&drained);
    let found = count(&drained, "points_handed") - count(&drained, "points_read");
    assert_eq!(found, left, "over the restart: {drained}");
    let arrived = setting.arrived();
    assert!(arrived.is_sorted_by(|a, b| a < b), "in order, and once");
    // Where memory had the oldest ones, they are thinned with the rest.
    let span = newest - oldest;
    assert!(arrived[0] < oldest + span / 10, "{arrived:?}");
    assert_fault(
        "the queue on disk has more than `max_size`, with `coalesce`",
        "nothing: the sweeps of the outage are thinned evenly",
        &drained,
        &["coalesced=N"],
    );
}

#[test]
fn what_is_thinned_keeps_its_place_also_where_a_series_shows_nothing_for_a_while() {
    let setting = Setting::new();
    let more = "max_size: 64KiB";
    let tree = setting.folder.path().join("tree");
    // Two requests a sweep: one of them stands behind what is thinned of the other.
    std::fs::create_dir(tree.join("t")).unwrap();
    std::fs::write(tree.join("t/c"), "1\n").unwrap();
    let show = |text: &str| std::fs::write(tree.join("s/sometimes"), text).unwrap();
    show("1\n");
    let mut child = setting.start(more);
    let mut log = stderr(&mut child);
    let is_thinned = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_thinned.load(Ordering::Relaxed) {
                for (text, bytes) in [("no number\n", 300), ("1\n", 500)] {
                    let next = setting.bytes() + bytes;
                    show(text);
                    while setting.bytes() < next && !is_thinned.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                }
            }
        });
        log_until(&mut log, "its sweeps are thinned");
        is_thinned.store(true, Ordering::Relaxed);
    });
    let rest = ended_by_term(&child, &mut log);
    let drained = drain(&setting, more);
    assert_accounted(&drained);
    for log in [&rest, &drained] {
        assert!(!log.contains("is damaged"), "{log}");
        let coalesced = count_after(log, "coalesced=");
        assert_eq!(count(log, "points_dropped"), coalesced, "{log}");
    }
    assert!(count_after(&drained, "coalesced=") > 0, "{drained}");
    let damaged = files(&setting.directory().join("otlp"), "damaged");
    assert!(damaged.is_empty(), "{damaged:?}");
}

#[test]
fn what_is_older_than_max_age_gives_way_and_is_counted() {
    let setting = Setting::new();
    leave(&setting, 2000, "");
    let waiting = setting.waiting().len() as u64;
    // Nobody takes it: what is in memory is never too old, and there is more than has room there.
    let mut child = setting.start("max_age: 1ms");
    let mut log = stderr(&mut child);
    log_until(&mut log, "are older than `max_age`");
    let rest = ended_by_term(&child, &mut log);
    assert_accounted(&rest);
    assert!(
        count_after(&rest, "too_old=") <= waiting + count(&rest, "points_read"),
        "{rest}"
    );
    assert_fault(
        "what waits on disk is older than `max_age`",
        "the requests that are",
        &rest,
        &["too_old=N"],
    );
}

#[test]
fn files_are_the_users_own_and_a_directory_that_cannot_be_made_is_told_with_the_mend() {
    let setting = Setting::new();
    leave(&setting, 1000, "");
    let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!(mode(&setting.directory()), 0o700);
    assert_eq!(mode(&setting.directory().join("otlp")), 0o700);
    assert_eq!(mode(&setting.segments()[0]), 0o600);
    assert_eq!(mode(&setting.directory().join("otlp/cursor")), 0o600);
    let test = "files_are_the_users_own_and_a_directory_that_cannot_be_made_is_told_with_the_mend";
    let folder = tempfile::tempdir().unwrap();
    let Some(mut command) = as_nobody(test, &folder) else {
        return;
    };
    command.args(["--config", "-"]);
    let config = setting.config("").replace(
        setting.directory().to_str().unwrap(),
        "/var/lib/statsfs-collector-of-a-test",
    );
    let output = spawn(command, &config).wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in [
        "cannot use /var/lib/statsfs-collector-of-a-test as user 65534",
        "ermission denied",
        "install -d -m 0700 -o 65534",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}
