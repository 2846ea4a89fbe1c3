//! The exposition is one that Prometheus's own tool can read.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{self, config, has_program, lacks, repository, run, text};

#[test]
fn promtool_finds_no_parse_error() {
    if !has_program("promtool") {
        return lacks(
            "promtool_finds_no_parse_error",
            "promtool, of Debian's package prometheus",
        );
    }
    let odd = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("s/n-dash", "1"),
        ("s/n_dash", "2"),
        ("s-x/f", "3"),
        ("s_x/f", "4"),
        ("s/n\"q\\", "5"),
        ("s/0digit", "6"),
        ("s/n\nline", "7"),
    ] {
        let path = odd.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value).unwrap();
    }
    let fixture = |path: &str| repository("tests/fixtures").join(path);
    let trees = [
        fixture("kvm-statsfs-liiling/sys/kernel/statsfs"),
        fixture("net-statsfs/sys/kernel/stats"),
        fixture("schema-corner-cases/stats"),
        odd.path().to_owned(),
    ];
    for tree in trees {
        let receiver = format!(
            "{{root: {}, labels: {{'a-b': 'x\"y', 0: z}}}}",
            tree.display()
        );
        let output = run(
            &config(&receiver, "metadata: {}; batch: {}", "{format: prometheus}"),
            &["--once"],
        );
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{}",
            text(&output.stderr)
        );
        let mut child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&output.stdout)
            .unwrap();
        let checked = child.wait_with_output().unwrap();
        // 1: it cannot be parsed; 3: it can, but names or help texts could be better.
        assert!(
            matches!(checked.status.code(), Some(0 | 3)),
            "{}\n{}",
            text(&checked.stderr),
            text(&output.stdout)
        );
    }
    let output = run(
        &config(
            &format!("{{root: {}}}", odd.path().display()),
            "metadata: {}",
            "{format: prometheus}",
        ),
        &["--once"],
    );
    assert!(
        text(&output.stderr).contains(
            "series left out of the exposition component=\"stdout\" detail=\"s/n_dash would be s_n_dash for Prometheus, which s/n-dash is already\""
        ),
        "{}",
        text(&output.stderr)
    );
    assert!(
        text(&output.stderr).contains("collision="),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn each_sweep_is_one_whole_exposition() {
    let tree = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    let receiver = format!("{{root: {}, collection_interval: 100ms}}", tree.display());
    let mut child = common::collector(
        &config(&receiver, "metadata: {}; batch: {}", "{format: prometheus}"),
        &[],
    );
    let mut heads = 0;
    let lines = common::read_until(&mut child, |line| {
        heads += usize::from(line == "# TYPE net_collisions_total counter");
        heads == 3
    });
    common::signal(&child, rustix::process::Signal::TERM);
    child.wait().unwrap();
    let values = lines.iter().filter(|line| !line.starts_with('#')).count();
    assert_eq!(values, 2 * 72, "two whole ones before the third begins");
}

#[test]
fn a_reader_that_goes_away_ends_it_and_a_full_disk_is_no_success() {
    let tree = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    let receiver = format!("{{root: {}, collection_interval: 20ms}}", tree.display());
    let config = config(&receiver, "metadata: {}; batch: {}", "{format: prometheus}");
    let mut child = common::collector(&config, &[]);
    common::read_until(&mut child, |_| true);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let mut command = Command::new(common::BINARY);
    command
        .args(["--once", "--config", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .stdout(
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(config.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}
