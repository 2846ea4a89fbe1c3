//! Files that cannot be read: one line for all of a kind, and back-off.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::common::alone::{CPU, alone};
use crate::common::{
    self, BINARY, collector, config, device, has_program, lacks, read_until, run, signal, spawn,
    text, trace, traced,
};

#[test]
fn a_thousand_bad_files_are_one_line_and_are_tried_ever_more_rarely() {
    // A thousand files each 20 ms load the cores.
    let _cpu = alone(&CPU);
    let tree = tempfile::tempdir().unwrap();
    device(tree.path(), "good", "1");
    for bad in 0..1000 {
        device(tree.path(), &format!("bad{bad}"), "no number");
    }
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, timeout: 1m}}",
        tree.path().display()
    );
    let mut child = collector(&config(&receiver, "batch: {}", "{}"), &[]);
    let mut sweeps = 0;
    read_until(&mut child, |_| {
        sweeps += 1;
        sweeps == 32
    });
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    // 997 more, but for those that a busy machine took too long to read: these are read apart.
    assert_eq!(stderr.matches(" more").count(), 1, "{stderr}");
    let more = common::count_after(&stderr, " and ");
    assert!((900..=997).contains(&more), "{stderr}");
    assert!(stderr.lines().count() <= 4, "{stderr}");
    // At sweeps 0, 2, 6, 14, 30, 62: after 2, 4, 8, 16, 32; where one is missed, at the next.
    let tries = u64::from((common::ticks(&stderr) + 2).ilog2());
    let failed = common::count(&stderr, "files_failed") / 1000;
    assert!(
        failed >= 3 && failed <= tries,
        "{failed} of {tries}: {stderr}"
    );
}

#[test]
fn ten_thousand_unreadable_files_and_ten_thousand_bad_ones_are_a_few_lines() {
    // 20,000 files load the cores.
    let _cpu = alone(&CPU);
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    for (kind, content, mode) in [("bad", "no number", 0o644), ("hidden", "1", 0)] {
        for number in 0..10_000 {
            let device = directory.path().join(format!("tree/s/{kind}{number}"));
            std::fs::create_dir_all(&device).unwrap();
            std::fs::write(device.join("c"), content).unwrap();
            std::fs::set_permissions(
                device.join("c"),
                std::os::unix::fs::PermissionsExt::from_mode(mode),
            )
            .unwrap();
        }
    }
    let receiver = format!(
        "{{root: {}, timeout: 1m}}",
        directory.path().join("tree").display()
    );
    let mut command = if common::is_root() {
        let Some(command) = common::as_nobody(
            "ten_thousand_unreadable_files_and_ten_thousand_bad_ones_are_a_few_lines",
            &directory,
        ) else {
            return;
        };
        command
    } else {
        Command::new(BINARY)
    };
    command.args(["--once", "--config", "-"]);
    let output = spawn(command, &config(&receiver, "batch: {}", "{}"))
        .wait_with_output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert!(stderr.lines().count() < 20, "{stderr}");
    assert!(
        stderr.contains("not_numeric=10000") && stderr.contains("permission=10000"),
        "{stderr}"
    );
}

/// Files as people have them: of several values, with names in them, with units and in words.
const FILES: [(&str, &str); 19] = [
    ("bcache/0e/bypassed", "3.4T"),
    ("bcache/0e/dirty_data", "520.0k"),
    ("block/sda/stat", "1 2 3 4 5 6 7 8 9 10 11"),
    ("block/sda/dev", "8:0"),
    (
        "cgroup/a/cpu.pressure",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=12",
    ),
    ("cgroup/a/memory.current", "4096"),
    ("cgroup/a/memory.max", "max"),
    ("cgroup/a/memory.stat", "anon 4096\nfile 8192"),
    ("drm/card0/busy", "5%"),
    ("fc_host/host3/speed", "8 Gbit"),
    ("hwmon/hwmon0/name", "coretemp"),
    ("hwmon/hwmon0/temp1_input", "45000"),
    ("hwmon/hwmon0/temp1_label", "Package id 0"),
    ("hwmon/hwmon0/temp2_label", "Core 0"),
    ("infiniband/mlx/rate", "100 Gb/sec (4X EDR)"),
    ("infiniband/mlx/state", "4: ACTIVE"),
    ("net/eth0/operstate", "up"),
    ("node/n0/size", "12 kB"),
    ("power/zone0/watts", "1.5"),
];

fn write(root: &Path) {
    for (path, content) in FILES {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{content}\n")).unwrap();
    }
}

/// What the warnings say, and of which files: by each cause, up to its `;`.
fn causes(logs: &str) -> BTreeMap<&str, &str> {
    let warnings = logs.lines().filter_map(|line| line.split_once(" WARN "));
    warnings
        .map(|(_, warning)| {
            let (cause, _) = warning.split_once(';').unwrap();
            let (_, files) = warning.split_once("detail=").unwrap();
            (cause, files.trim_matches('"'))
        })
        .collect()
}

#[test]
fn what_a_file_has_instead_of_a_value_is_called_by_its_name() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path());
    let unit = "bcache/0e/bypassed, bcache/0e/dirty_data, drm/card0/busy and 3 more";
    let mut expected = BTreeMap::from([
        (
            "several values in one file",
            "block/sda/stat, cgroup/a/cpu.pressure, cgroup/a/memory.stat",
        ),
        ("a number with a unit", unit),
        (
            "a word",
            "cgroup/a/memory.max, hwmon/hwmon0/name, net/eth0/operstate",
        ),
        (
            "a text",
            "block/sda/dev, hwmon/hwmon0/temp1_label, hwmon/hwmon0/temp2_label and 1 more",
        ),
        ("a floating-point number", "power/zone0/watts"),
    ]);
    for format in ["int", "float"] {
        let receiver = format!(
            "{{root: {}, formats: [{{match: '**', as: {format}}}]}}",
            tree.path().display()
        );
        let output = run(&config(&receiver, "batch: {}", "{}"), &["--once"]);
        let stderr = text(&output.stderr);
        if format == "float" {
            expected.remove("a floating-point number");
        }
        assert_eq!(causes(&stderr), expected, "{format}: {stderr}");
        assert!(output.status.success(), "{stderr}");
    }
}

#[test]
fn what_the_warning_names_as_the_mend_makes_it_that_the_file_is_not_opened() {
    let test = "what_the_warning_names_as_the_mend_makes_it_that_the_file_is_not_opened";
    if !has_program("strace") {
        return lacks(test, "strace");
    }
    let directory = tempfile::tempdir().unwrap();
    let (tree, log) = (directory.path().join("tree"), directory.path().join("log"));
    write(&tree);
    let values = ["cgroup/a/memory.current", "hwmon/hwmon0/temp1_input"];
    let receiver = format!("{{root: {}, collection_interval: 20ms}}", tree.display());
    // The name of a metric: the subsystem, and the file.
    let drops = FILES.iter().filter(|(path, _)| !values.contains(path));
    let drops = drops.map(|(path, _)| {
        let (subsystem, file) = (path.split('/').next(), path.rsplit('/').next());
        format!(
            "{{drop: {{match: {{name: '{}/{}'}}}}}}",
            subsystem.unwrap(),
            file.unwrap()
        )
    });
    let labels = format!(
        "labels: {{actions: [{}]}}",
        drops.collect::<Vec<_>>().join(", ")
    );
    let mut child = traced(&config(&receiver, &labels, "{}"), &log);
    let mut shown = 0;
    read_until(&mut child, |line| {
        shown += usize::from(line.starts_with("hwmon/temp1_input"));
        shown == 3
    });
    signal(&child, Signal::TERM);
    let process = child.id();
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(
        output.status.success() && !stderr.contains("WARN"),
        "{stderr}"
    );
    let trace = trace(&log, process);
    for (path, _) in FILES {
        let file = path.rsplit('/').next().unwrap();
        let is_opened = trace.contains(&format!("\"{file}\""));
        assert_eq!(is_opened, values.contains(&path), "{path}: {trace}");
    }
}
