//! Files that take long: they cost their neighbours nothing, and each other as little as can be.

use std::time::Duration;

use super::fuse::HangingFilesystem;
use super::run::Run;
use crate::common::alone::{CPU, alone};
use crate::common::{assert_fault, count, lacks};

const SENSORS: u32 = 23;

fn sensor(number: u32) -> String {
    format!("hwmon/{:02}/input", number + 10)
}

/// Sensors of 400 ms each, and a quick one behind them.
fn sensors(test: &str, options: &str) -> Option<Run> {
    let slow = (0..SENSORS).map(sensor);
    let files: Vec<String> = slow.chain(["hwmon/coretemp/input".into()]).collect();
    let Some(system) = HangingFilesystem::mount(&files) else {
        lacks(test, "/dev/fuse, and root or fusermount3");
        return None;
    };
    (0..SENSORS).for_each(|it| system.delay(&sensor(it), Duration::from_millis(400)));
    Some(Run::of(
        system,
        &format!("collection_interval: 2300ms, timeout: 2s, {options}"),
    ))
}

fn series(number: u32) -> String {
    format!("hwmon/input{{device=/{}}}", number + 10)
}

/// Tells it to end, and waits until the quick one was there at each sweep. How many values came of each of the others, how many
/// sweeps there were, and the standard error.
fn end(mut run: Run) -> (Vec<u64>, u64, String) {
    let stderr = run.end(&[]);
    let sweeps = count(&stderr, "sweeps");
    let quick = "hwmon/input{device=/coretemp}";
    run.counts.wait_until(quick, sweeps);
    let slow = (0..SENSORS).map(|it| run.counts.values(&series(it)));
    (slow.collect(), sweeps, stderr)
}

#[test]
fn a_quick_file_behind_many_slow_ones_is_there_at_each_sweep_and_they_take_turns() {
    let _cpu = alone(&CPU);
    let test = "a_quick_file_behind_many_slow_ones_is_there_at_each_sweep_and_they_take_turns";
    let Some(run) = sensors(test, "readers: 1") else {
        return;
    };
    for number in 0..SENSORS {
        run.counts.wait_until(&series(number), 3);
    }
    let (slow, sweeps, stderr) = end(run);
    let (least, most) = (slow.iter().min().unwrap(), slow.iter().max().unwrap());
    assert!(most - least <= 2, "{slow:?} in {sweeps} sweeps: {stderr}");
    assert_fault(
        "files take longer than a sweep may",
        "the values that there is no time for, each file's in its turn; none of those beside them",
        &stderr,
        &["timeout=N"],
    );
}

#[test]
fn with_more_readers_one_table_is_shared_among_them() {
    let _cpu = alone(&CPU);
    let test = "with_more_readers_one_table_is_shared_among_them";
    let Some(run) = sensors(test, "readers: 8") else {
        return;
    };
    for number in 0..SENSORS {
        run.counts.wait_until(&series(number), 3);
    }
    let (slow, sweeps, stderr) = end(run);
    // At the first sweep nobody knows yet.
    assert!(
        slow.iter().all(|it| it + 1 >= sweeps),
        "{slow:?} in {sweeps} sweeps: {stderr}"
    );
}

#[test]
fn where_all_files_take_longer_than_a_sweep_may_it_goes_on_where_the_last_one_ended() {
    let _cpu = alone(&CPU);
    let test = "where_all_files_take_longer_than_a_sweep_may_it_goes_on_where_the_last_one_ended";
    let files: Vec<String> = (10..50).map(|file| format!("s/d/f{file}")).collect();
    let Some(system) = HangingFilesystem::mount(&files) else {
        return lacks(test, "/dev/fuse, and root or fusermount3");
    };
    for file in &files {
        system.delay(file, Duration::from_millis(20));
    }
    // Also if one of them is slow besides.
    system.delay("s/d/f15", Duration::from_millis(150));
    let options =
        "formats: [{match: 's/d/f4?', absent: [1]}], collection_interval: 500ms, timeout: 300ms";
    let mut run = Run::of(system, options);
    for file in 10..40 {
        run.counts.wait_until(&format!("s/f{file}{{device=/d}}"), 3);
    }
    let stderr = run.end(&[]);
    let count = |name| count(&stderr, name);
    assert!(count("files_failed") > 0, "{stderr}");
    // What was read and stands for no value was not missed. (What stood before a file that hung for long is read twice.)
    let each = ["points_read", "values_absent", "files_failed"].map(count);
    let most = 40 * count("sweeps") + 10;
    assert!(each.iter().sum::<u64>() <= most, "{stderr}");
    assert!(!stderr.contains("does not answer"), "{stderr}");
}
