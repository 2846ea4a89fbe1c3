//! A subsystem without a name, or of another one than the catalog's: `validate` warns of it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{BINARY, config, run, text};

/// What `validate` says, which has no error.
fn warnings(config: &str) -> String {
    let mut command = Command::new(BINARY);
    command
        .args(["validate", "--config", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(config.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    stderr
}

#[test]
fn a_layout_without_a_subsystem_is_a_warning_where_the_root_has_devices() {
    let validated = |root: &str, rest: &str| {
        let receiver = format!("{{root: '{root}', layout: '{{device}}/{{metric}}'{rest}}}");
        warnings(&config(&receiver, "metadata: {}", "{}"))
    };
    let expected = "\
warning: `layout` without `subsystem`: each directory in the root is a subsystem of its own, and `layout` is about what is below it
 --> standard input:2:45
  |
2 |   statsfs: {root: '/sys/class/net', layout: '{device}/{metric}'}
  |                                             ^^^^^^^^^^^^^^^^^^^ `subsystem: net`, beside `root`, makes the root itself the subsystem
  |
  = note: at receivers.statsfs.layout

";
    assert_eq!(validated("/sys/class/net", ""), expected);
    for (root, subsystem) in [
        ("/sys/block/", "block"),
        ("/sys/bus/scsi/devices", "scsi"),
        ("debugfs:kvm", "kvm"),
        ("/sys/kernel/debug/kvm", "kvm"),
    ] {
        let said = validated(root, "");
        assert!(
            said.contains(&format!("`subsystem: {subsystem}`")),
            "{said}"
        );
        let named = format!(", subsystem: {subsystem}");
        assert_eq!(validated(root, &named), "", "{root}");
    }
    for root in [
        "statsfs:",
        "/sys/kernel/debug",
        "/sys/fs/cgroup",
        "/var/lib/own",
    ] {
        assert_eq!(validated(root, ""), "", "{root}");
    }
}

#[test]
fn a_layout_without_a_subsystem_is_named_where_nothing_fits_it() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(tree.path().join("eth0/statistics")).unwrap();
    std::fs::write(tree.path().join("eth0/statistics/rx_bytes"), "1\n").unwrap();
    let receiver = format!(
        "{{root: {}, layout: '{{device}}/statistics/{{metric}}'}}",
        tree.path().display()
    );
    let output = run(&config(&receiver, "batch: {}", "{}"), &["--once"]);
    let stderr = text(&output.stderr);
    let why = "no series: no file matches `layout`, `subsystems` and `devices`; without `subsystem` each directory in the root is one, and `layout` is about what is below it";
    assert!(stderr.contains(why), "{stderr}");
}

#[test]
fn a_subsystem_that_the_catalog_calls_otherwise_is_a_warning() {
    let receiver = |root: &str, name: &str| format!("{{root: {root}, subsystem: {name}}}");
    let ib = receiver("/sys/class/infiniband", "ib");
    let expected = "\
warning: `metadata` knows no subsystem `ib`
 --> standard input:2:53
  |
2 |   statsfs: {root: /sys/class/infiniband, subsystem: ib}
  |                                                     ^^ it knows `infiniband`; a tree of your own may be called as you like, and `rules` say what it has
  |
  = note: at receivers.statsfs.subsystem

";
    assert_eq!(warnings(&config(&ib, "metadata: {}", "{}")), expected);
    let misspelt = receiver("/data/tree", "infinband");
    let said = warnings(&config(&misspelt, "metadata: {}", "{}"));
    assert!(said.contains("it knows `infiniband`"), "{said}");
    // No catalog is asked; a rule is about it; it is somebody's own.
    for (receiver, processors) in [
        (&*ib, "batch: {}"),
        (&*ib, "metadata: {sources: [rules]}"),
        (
            &*ib,
            "metadata: {rules: [{match: {name: 'ib/*'}, kind: counter}]}",
        ),
        (&*receiver("/data/net", "ib"), "metadata: {}"),
        (&*receiver("/sys/class/own", "own"), "metadata: {}"),
    ] {
        assert_eq!(warnings(&config(receiver, processors, "{}")), "");
    }
}

#[test]
fn a_subsystem_of_two_pipelines_is_warned_of_once() {
    let config = "
receivers: {statsfs: {root: /sys/class/infiniband, subsystem: ib}}
processors: {metadata: , metadata/own: }
exporters: {stdout: }
service:
  pipelines:
    metrics/one: {receivers: [statsfs], processors: [metadata], exporters: [stdout]}
    metrics/two: {receivers: [statsfs], processors: [metadata], exporters: [stdout]}
    metrics/three: {receivers: [statsfs], processors: [metadata/own], exporters: [stdout]}
";
    let said = warnings(config);
    assert_eq!(said.matches("`metadata` knows no").count(), 1, "{said}");
    assert_eq!(said.matches("`metadata/own` knows no").count(), 1, "{said}");
}
