//! Devices, files and schemas that come and go: shown within a sweep, without a warning.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::common::alone::{CPU, alone};
use crate::common::{
    self, collector, config, descriptors_and_memory, device, end_without_warning, is_root, lacks,
    memory, read_until, shared_memory, signal, text,
};

/// Only inotify tells of what changes.
fn sweep_without_rescans(root: &Path, processors: &str) -> Child {
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, rescan_interval: 1h}}",
        root.display()
    );
    collector(&config(&receiver, processors, "{}"), &[])
}

#[test]
fn devices_come_and_go_by_themselves() {
    // A file is empty until it is written: where the cores are loaded, a sweep comes in between, and warns.
    let _cpu = alone(&CPU);
    let tree = tempfile::tempdir().unwrap();
    device(tree.path(), "old", "1");
    let mut child = sweep_without_rescans(tree.path(), "metadata: {}; batch: {}");
    read_until(&mut child, |line| line == "s/c{device=/old} 1 gauge");
    device(tree.path(), "new/below", "2");
    read_until(&mut child, |line| line == "s/c{device=/new/below} 2 gauge");
    fs::remove_dir_all(tree.path().join("s/old")).unwrap();
    read_until(&mut child, |line| line == "s/c{device=/old} end gauge");
    device(tree.path(), "old", "3");
    let lines = read_until(&mut child, |line| line == "s/c{device=/old} 3 gauge");
    assert!(
        !lines.iter().any(|line| line.contains("end")),
        "an end is shown once: {lines:?}"
    );
    fs::write(tree.path().join("s/new/d"), "4\n").unwrap();
    read_until(&mut child, |line| line == "s/d{device=/new} 4 gauge");
    fs::create_dir_all(tree.path().join("another/dev")).unwrap();
    fs::write(tree.path().join("another/dev/f"), "5\n").unwrap();
    read_until(&mut child, |line| line == "another/f{device=/dev} 5 gauge");
    fs::remove_dir_all(tree.path().join("another")).unwrap();
    read_until(&mut child, |line| {
        line == "another/f{device=/dev} end gauge"
    });
    end_without_warning(child);
}

#[test]
fn an_interface_that_comes_and_goes_is_seen_in_sysfs() {
    let name = "an_interface_that_comes_and_goes_is_seen_in_sysfs";
    if !is_root() || !common::has_program("ip") {
        return lacks(name, "root and iproute2");
    }
    let ip = |arguments: &[&str]| Command::new("ip").args(arguments).output().unwrap();
    let interface = format!("t{}", std::process::id() % 100_000);
    let added = ip(&[
        "link",
        "add",
        &interface,
        "type",
        "veth",
        "peer",
        "name",
        &format!("{interface}p"),
    ]);
    if !added.status.success() {
        return lacks(
            name,
            &format!("a kernel that makes veth pairs: {}", text(&added.stderr)),
        );
    }
    ip(&["link", "delete", &interface]);
    let receiver = "{root: /sys/class/net, subsystem: net, layout: '{device}/statistics/{metric}', follow_links: true, collection_interval: 20ms, rescan_interval: 1h}";
    let mut child = collector(&config(receiver, "metadata: {}; batch: {}", "{}"), &[]);
    read_until(&mut child, |line| {
        line.starts_with("net/rx_bytes{device=lo} ")
    });
    assert!(
        ip(&[
            "link",
            "add",
            &interface,
            "type",
            "veth",
            "peer",
            "name",
            &format!("{interface}p")
        ])
        .status
        .success()
    );
    let came = format!("net/rx_bytes{{device={interface}}} 0 counter By");
    read_until(&mut child, |line| line == came);
    assert!(ip(&["link", "delete", &interface]).status.success());
    let went = format!("net/rx_bytes{{device={interface}}} end counter By");
    read_until(&mut child, |line| line == went);
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = text(&output.stderr);
    // A busy kernel takes a while from when they cannot be read any more to when its files are gone.
    let is_of_it = |line: &&str| line.contains("cannot be read") && line.contains(&interface);
    let warnings = output.lines().filter(|line| line.contains("WARN"));
    assert_eq!(warnings.filter(|it| !is_of_it(it)).count(), 0, "{output}");
}

#[test]
fn a_device_that_is_replaced_in_an_old_table_goes_on_through_every_processor() {
    let tree = shared_memory();
    let fill = |device: &str, value: usize| {
        let device = tree.path().join("s").join(device);
        fs::create_dir_all(&device).unwrap();
        (0..60).for_each(|file| {
            fs::write(device.join(format!("m{file}")), format!("{value}\n")).unwrap();
        });
    };
    (0..100).for_each(|device| fill(&format!("d{device}"), 1));
    fs::create_dir(tree.path().join("other")).unwrap();
    fill("../other/next", 2);
    let receiver = format!(
        "{{root: {}, collection_interval: 50ms, subsystems: {{include: [s]}}}}",
        tree.path().display()
    );
    let mut child = collector(
        &config(&receiver, "metadata: {}; labels: {}; batch: {}", "{}"),
        &[],
    );
    read_until(&mut child, |line| line == "s/m59{device=/d99} 1 gauge");
    fs::rename(tree.path().join("s/d0"), tree.path().join("other/past")).unwrap();
    fs::rename(tree.path().join("other/next"), tree.path().join("s/d0")).unwrap();
    read_until(&mut child, |line| line == "s/m59{device=/d0} 2 gauge");
    end_without_warning(child);
}

#[test]
fn a_schema_that_comes_or_changes_is_taken_at_the_next_scan() {
    let tree = shared_memory();
    device(tree.path(), "d", "1.5");
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, rescan_interval: 40ms}}",
        tree.path().display()
    );
    let mut child = collector(&config(&receiver, "metadata: {}; batch: {}", "{}"), &[]);
    let schema = |text: &str| fs::write(tree.path().join("s/d/.schema"), text).unwrap();
    schema("METRIC\nNAME c\nFLAG CUMULATIVE\nTYPE FLOAT\nUNIT By\n");
    read_until(&mut child, |line| line == "s/c{device=/d} 1.5 counter By");
    schema("METRIC\nNAME c\nFLAG GAUGE\nTYPE FLOAT\nUNIT s\n");
    read_until(&mut child, |line| line == "s/c{device=/d} 1.5 gauge s");
    schema("LABEL\nk v\n\nMETRIC\nNAME c\nFLAG GAUGE\nTYPE FLOAT\n");
    read_until(&mut child, |line| line == "s/c{k=v} 1.5 gauge");
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_directory_made_anew_is_watched_anew() {
    // A file is empty until it is written: where the cores are loaded, a sweep comes in between, and warns.
    let _cpu = alone(&CPU);
    let tree = tempfile::tempdir().unwrap();
    device(tree.path(), "d", "1");
    let mut child = sweep_without_rescans(tree.path(), "batch: {}");
    read_until(&mut child, |line| line == "s/c{device=/d} 1");
    // Often with the same inode number, on ext4.
    fs::remove_dir_all(tree.path().join("s/d")).unwrap();
    fs::create_dir(tree.path().join("s/d")).unwrap();
    device(tree.path(), "e", "2");
    read_until(&mut child, |line| line == "s/c{device=/e} 2");
    fs::write(tree.path().join("s/d/later"), "3\n").unwrap();
    read_until(&mut child, |line| line == "s/later{device=/d} 3");
    end_without_warning(child);
}

#[test]
fn a_subsystem_that_has_gone_leaves_its_counts_and_nothing_else() {
    let tree = shared_memory();
    device(tree.path(), "d", "1");
    let gone = tree.path().join("gone");
    fs::create_dir_all(gone.join("d")).unwrap();
    fs::write(gone.join("d/c"), "1\n").unwrap();
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms}}",
        tree.path().display()
    );
    let mut command = Command::new(common::BINARY);
    command
        .args(["--config", "-"])
        .env("RUST_LOG", "info,pipeline_service=debug");
    let mut child = common::spawn(command, &config(&receiver, "batch: {}", "{}"));
    let counts = common::SeriesCounts::of(&mut child);
    counts.wait_for("gone/c{device=/d}", 3);
    fs::remove_dir_all(gone).unwrap();
    counts.wait_for("s/c{device=/d}", 5);
    assert_eq!(counts.ends("gone/c{device=/d}"), 1);
    signal(&child, Signal::TERM);
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    assert!(stderr.contains("statsfs s"), "{stderr}");
    assert!(!stderr.contains("statsfs gone"), "{stderr}");
    // Those of its own that the receiver has are what the other one read.
    let mut own = stderr
        .lines()
        .filter(|line| line.contains("component=\"statsfs\""));
    assert!(
        own.next_back().unwrap().contains(" files_read="),
        "{stderr}"
    );
}

#[test]
fn constant_churn_leaves_the_right_series_and_nothing_else() {
    // The churn loads a core for as long as it goes on.
    let _cpu = alone(&CPU);
    let tree = shared_memory();
    (0..1000).for_each(|number| device(tree.path(), &format!("d{number}"), "1"));
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, rescan_interval: 300ms}}",
        tree.path().display()
    );
    let processors =
        "metadata: {}; labels: {actions: [{rename: {label: device, to: dev}}]}; batch: {}";
    let mut child = collector(&config(&receiver, processors, "{}"), &[]);
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut sweeps = |most: usize| {
        let mut seen = 0;
        common::lines_until(&mut stdout, |line| {
            seen += usize::from(line.starts_with("s/c{dev=/d0} "));
            seen == most
        })
    };
    sweeps(20);
    // A directory each is held.
    let at_rest = descriptors_and_memory(&child).0;
    let stop = AtomicBool::new(false);
    let after_a_while = std::thread::scope(|scope| {
        let root = tree.path();
        scope.spawn(|| {
            for round in 0_usize.. {
                let name = format!("churn{}/below", round % 50);
                device(root, &name, "2");
                fs::remove_dir_all(root.join(format!("s/churn{}", (round + 25) % 50)))
                    .unwrap_or_default();
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        sweeps(50);
        let after_a_while = memory(&child);
        sweeps(150);
        stop.store(true, Ordering::Relaxed);
        after_a_while
    });
    for number in 0..50 {
        fs::remove_dir_all(tree.path().join(format!("s/churn{number}"))).unwrap_or_default();
    }
    sweeps(20);
    // From one `d0` to the next: one whole sweep.
    let whole = sweeps(1);
    assert_eq!(
        whole.len(),
        1000,
        "{:?}",
        whole
            .iter()
            .filter(|line| line.contains("churn"))
            .collect::<Vec<_>>()
    );
    let (descriptors, memory_now) = descriptors_and_memory(&child);
    assert!(
        descriptors <= at_rest + 4,
        "{descriptors} descriptors, {at_rest} before"
    );
    assert!(
        memory_now < after_a_while + 8192,
        "{memory_now} KiB, {after_a_while} before"
    );
    drop(stdout);
    signal(&child, Signal::TERM);
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    // A file that was made, and not written yet, is empty: that may be warned of.
    let mut warnings = stderr
        .lines()
        .filter(|line| line.contains("WARN") && !line.contains("WARN empty file passed over"));
    assert_eq!(warnings.next(), None, "{stderr}");
}

#[test]
fn a_group_is_shown_where_it_is_the_finest_and_again_when_those_in_it_have_gone() {
    let tree = shared_memory();
    let group = |path: &str, value: &str| {
        let made = shared_memory();
        fs::write(made.path().join("memory.current"), value).unwrap();
        fs::rename(made.path(), tree.path().join("cgroup").join(path)).unwrap();
    };
    fs::create_dir(tree.path().join("cgroup")).unwrap();
    group("a", "5\n");
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms}}",
        tree.path().display()
    );
    let mut child = collector(&config(&receiver, "metadata: {}", "{format: text}"), &[]);
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    // In any order, but all of them, since the ones before.
    let mut until_all = |mut wanted: Vec<&str>| {
        common::lines_until(&mut stdout, |shown| {
            wanted.retain(|line| *line != shown);
            wanted.is_empty()
        });
    };
    let (finest, ended) = (
        "cgroup/memory.current{device=/a} 5 updown By",
        "cgroup/memory.current{device=/a} end updown By",
    );
    until_all(vec![finest]);
    group("a/b", "4\n");
    until_all(vec![
        ended,
        "cgroup/memory.current{device=/a/b} 4 updown By",
    ]);
    fs::remove_dir_all(tree.path().join("cgroup/a/b")).unwrap();
    until_all(vec![
        "cgroup/memory.current{device=/a/b} end updown By",
        finest,
    ]);
    end_without_warning(child);
}
