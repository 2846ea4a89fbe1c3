//! The start time of a counter.

mod ext4;
mod far_end;
mod history;
mod interfaces;
mod meters;

use std::fs;

use rustix::process::Signal;

use far_end::{FarEnd, Point, Sender};
use interfaces::{boot, is_older};

use crate::common::{
    collector, config, device, end_without_warning, lines_until, read_points, shared_memory, signal,
};

#[test]
fn a_device_that_is_replaced_between_two_sweeps_begins_at_its_first_value() {
    let tree = shared_memory();
    device(tree.path(), "d", "1");
    device(tree.path(), "next", "2");
    for start in ["unknown", "device"] {
        let receiver = format!(
            "{{root: {}, collection_interval: 20ms, devices: {{exclude: [next, past]}}}}",
            tree.path().display()
        );
        let rules = format!("metadata: {{rules: [{{kind: counter, start: {start}}}]}}");
        let mut child = collector(&config(&receiver, &rules, "{format: json}"), &[]);
        let first = read_points(&mut child, |value, _| value == Some(1));
        let path = |name: &str| tree.path().join("s").join(name);
        fs::rename(path("d"), path("past")).unwrap();
        fs::rename(path("next"), path("d")).unwrap();
        let second = read_points(&mut child, |value, _| value == Some(2));
        let (_, started_first, time_first) = first[0];
        let (_, started, time) = *second.last().unwrap();
        assert!(
            second.iter().all(|(value, ..)| value.is_some()),
            "the same series goes on: it does not end"
        );
        assert_eq!(started_first, time_first, "it was there at the first look");
        assert_eq!(started, time, "it was renamed, and may have counted before");
        fs::rename(path("d"), path("next")).unwrap();
        fs::rename(path("past"), path("d")).unwrap();
        signal(&child, Signal::TERM);
        child.wait().unwrap();
    }
}

#[test]
fn what_comes_later_counts_since_the_last_look_only_where_it_is_made_with_its_directory() {
    let tree = shared_memory();
    device(tree.path(), "first", "1");
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms}}",
        tree.path().display()
    );
    let rules = "metadata: {rules: [{match: {name: s/c}, start: device}, {kind: counter}]}";
    let (mut far_end, before) = (FarEnd::default(), pipeline::now_unix_nano());
    let mut sender = Sender::start(&config(&receiver, rules, "{format: json}"));
    let first = sender.until(&mut far_end, |_| true).remove(0);
    assert!(first.is_baseline(), "nobody saw that it was not there");
    let made = shared_memory();
    for file in ["c", "kept"] {
        fs::write(made.path().join(file), "7\n").unwrap();
    }
    fs::rename(made.path(), tree.path().join("s/later")).unwrap();
    let later = |name: &str| format!("s/{name}{{device=/later}}");
    let shown = sender.until(&mut far_end, |point| point.series == later("kept"));
    let of = |name: &str| {
        shown
            .iter()
            .find(|point| point.series == later(name))
            .unwrap()
    };
    assert!(of("kept").is_baseline());
    let Point { start, time, .. } = of("c");
    assert!(before < *start && start < time, "{first:?} {:?}", of("c"));
    sender.end(&mut far_end);
    assert_eq!((far_end.total("s/c"), far_end.total("s/kept")), (7, 0));
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
fn an_interface_that_the_kernel_made_while_it_booted_counts_since_the_boot() {
    let receiver = "{root: /sys/class/net, subsystem: net, layout: '{device}/statistics/{metric}', follow_links: true, devices: {include: [lo]}}";
    let mut far_end = FarEnd::default();
    let mut sender = Sender::start(&config(receiver, "metadata: {}", "{format: json}"));
    let points = sender.until(&mut far_end, |_| true);
    sender.end(&mut far_end);
    assert!(points.len() >= 24, "{points:?}");
    // In a network namespace of its own, it came later.
    let is_from_boot = is_older("/sys/class/net/lo", "/sys/module/kernel");
    for point in points {
        assert_eq!(is_from_boot, point.start == boot(), "{point:?}");
        assert_eq!(!is_from_boot, point.is_baseline(), "{point:?}");
    }
}

#[test]
fn a_path_that_comes_later_tells_nothing_of_what_it_leads_to() {
    let tree = shared_memory();
    device(tree.path(), "d", "1");
    let root = tree.path().join("root");
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, rescan_interval: 40ms, subsystems: {{include: [s]}}}}",
        root.display()
    );
    let rules = "metadata: {rules: [{kind: counter, start: device}]}";
    let mut child = collector(&config(&receiver, rules, "{format: json}"), &[]);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains("missing="));
    std::os::unix::fs::symlink(tree.path(), &root).unwrap();
    let (_, start, time) = read_points(&mut child, |_, _| true)[0];
    assert_eq!(start, time);
    signal(&child, Signal::TERM);
    child.wait().unwrap();
}
