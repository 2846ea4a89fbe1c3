//! Files that cannot be read: one line for all of a kind, and back-off.

use std::process::Command;

use rustix::process::Signal;

use crate::common::alone::{CPU, alone};
use crate::common::{self, BINARY, collector, config, device, read_until, signal, spawn, text};

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
        "{{root: {}, collection_interval: 20ms}}",
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
    assert_eq!(stderr.matches("and 997 more").count(), 1, "{stderr}");
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
