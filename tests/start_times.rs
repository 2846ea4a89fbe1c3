//! The start time of a counter.

use std::fs;

use rustix::process::Signal;

use crate::common::{
    self, collector, config, device, end_without_warning, read_points, signal, text,
};

#[test]
fn a_device_that_is_replaced_between_two_sweeps_is_another_one() {
    let tree = tempfile::tempdir().unwrap();
    device(tree.path(), "d", "1");
    device(tree.path(), "next", "2");
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, devices: {{exclude: [next, past]}}}}",
        tree.path().display()
    );
    let rules = "metadata: {rules: [{kind: counter}]}";
    let mut child = collector(&config(&receiver, rules, "{format: json}"), &[]);
    let first = read_points(&mut child, |value, _| value == Some(1));
    fs::rename(tree.path().join("s/d"), tree.path().join("s/past")).unwrap();
    fs::rename(tree.path().join("s/next"), tree.path().join("s/d")).unwrap();
    let second = read_points(&mut child, |value, _| value == Some(2));
    let (_, started_first, time_first) = first[0];
    let (_, started, time) = *second.last().unwrap();
    assert!(
        second.iter().all(|(value, ..)| value.is_some()),
        "the same series goes on: it does not end"
    );
    assert_eq!(
        started_first, time_first,
        "nobody knows since when: since its first value"
    );
    assert!(
        started > started_first && started < time,
        "it came later: since the last sweep that did not show it"
    );
    end_without_warning(child);
}

#[test]
fn a_counter_that_falls_has_exactly_one_new_start() {
    let tree = tempfile::tempdir().unwrap();
    device(tree.path(), "d", "100");
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms}}",
        tree.path().display()
    );
    let mut child = collector(
        &config(
            &receiver,
            "metadata: {rules: [{kind: counter}]}",
            "{format: json}",
        ),
        &[],
    );
    read_points(&mut child, |value, _| value == Some(100));
    fs::write(tree.path().join("next"), "7\n").unwrap();
    fs::rename(tree.path().join("next"), tree.path().join("s/d/c")).unwrap();
    let mut sevens = 0;
    let all = read_points(&mut child, |value, _| {
        sevens += usize::from(value == Some(7));
        sevens == 5
    });
    let mut starts: Vec<u64> = all
        .iter()
        .filter(|(value, ..)| *value == Some(7))
        .map(|(_, start, _)| *start)
        .collect();
    let (_, _, last_before) = all
        .iter()
        .rev()
        .find(|(value, ..)| *value == Some(100))
        .copied()
        .unwrap_or_default();
    starts.dedup();
    assert_eq!(starts.len(), 1, "one new start");
    assert!(
        last_before == 0 || starts[0] == last_before,
        "since it was last read"
    );
    end_without_warning(child);
}

#[test]
fn what_was_there_at_the_first_scan_of_a_kernels_tree_counts_since_the_boot() {
    let receiver = "{root: /sys/class/net, subsystem: net, layout: '{device}/statistics/{metric}', follow_links: true}";
    let output = common::run(
        &config(receiver, "metadata: {}", "{format: json}"),
        &["--once"],
    );
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let boot = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .unwrap()
        .trim();
    let starts = text(&output.stdout)
        .matches(&format!("\"startTimeUnixNano\":\"{boot}000000000\""))
        .count();
    assert!(starts >= 24, "{starts}");
}

#[test]
fn a_kernels_tree_that_comes_later_does_not_count_since_the_boot() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("later");
    let receiver = format!(
        "{{root: {}, subsystem: net, layout: '{{device}}/statistics/{{metric}}', follow_links: true, collection_interval: 20ms, rescan_interval: 40ms}}",
        root.display()
    );
    let mut child = collector(&config(&receiver, "metadata: {}", "{format: json}"), &[]);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    common::lines_until(&mut stderr, |line| line.contains("missing="));
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let boot = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .unwrap();
    let boot = boot.trim().parse::<u64>().unwrap() * 1_000_000_000;
    std::os::unix::fs::symlink("/sys/class/net", &root).unwrap();
    let first = read_points(&mut child, |_, _| true);
    assert!(first.iter().all(|(_, start, _)| *start > boot), "{first:?}");
    signal(&child, Signal::TERM);
    child.wait().unwrap();
}
