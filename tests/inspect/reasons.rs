//! Each reason for which something is not read, or does not go out.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{of, output, records, why};
use crate::common::{BINARY, as_nobody, config, file, has_program, is_root, lacks, spawn, text};

/// A tree of one receiver `statsfs` with these options, and these processors.
fn inspected(root: &Path, options: &str, processors: &str, arguments: &[&str]) -> Vec<Value> {
    let receiver = format!("{{root: {}{options}}}", root.display());
    records(Some(&config(&receiver, processors, "{}")), arguments)
}

#[test]
fn what_is_read_is_shown_as_it_goes_out_and_who_says_so() {
    let tree = tempfile::tempdir().unwrap();
    for name in ["rx_bytes", "unheard_of", "ruled", "declared"] {
        file(tree.path(), &format!("net/eth0/{name}"));
    }
    let processors = "metadata: {rules: [{match: {name: x}}, {match: {name: net/ruled}, kind: updown, unit: By}]}; \
                      labels: {actions: [{set: {label: rack, value: 12}}, {replace: {regex: ^net/, with: n.}}]}; \
                      batch: {subsystems: [{match: net, interval: 25s}]}";
    let records = inspected(tree.path(), "", processors, &[]);
    assert_eq!(records.len(), 4, "{records:#?}");
    let labels = json!({"device": "/eth0", "rack": 12});
    let expected = json!({
        "receiver": "statsfs", "source": "net/eth0/rx_bytes", "pipeline": "metrics", "state": "read",
        "metric": "n.rx_bytes", "labels": labels, "kind": "counter", "kind_from": "catalog", "unit": "By", "unit_from": "catalog",
        "exporters": {"stdout": "30s"}, "value": null, "via": null, "component": null, "reason": null, "detail": null,
    });
    assert_eq!(of(&records, "net/eth0/rx_bytes"), &expected);
    let ruled = of(&records, "net/eth0/ruled");
    assert_eq!(
        [
            &ruled["kind"],
            &ruled["kind_from"],
            &ruled["unit"],
            &ruled["unit_from"]
        ],
        ["updown", "rules.1", "By", "rules.1"]
    );
    let unknown = of(&records, "net/eth0/unheard_of");
    assert_eq!(
        [&unknown["kind"], &unknown["kind_from"]],
        ["unknown", "nobody"]
    );
    assert_eq!([&unknown["unit"], &unknown["unit_from"]], [&Value::Null; 2]);
}

#[test]
fn a_kind_is_from_the_tree_or_from_the_file_s_mode_or_nobody_s() {
    let root = crate::common::repository("tests/fixtures/seed-schema/sys/kernel/stats");
    let records = inspected(&root, "", "metadata: {}", &[]);
    let declared = records.iter().filter(|it| it["kind_from"] == ".schema");
    assert!(declared.count() > 0, "{records:#?}");
    assert_eq!(
        why(&records, "subsys0/dev0/.schema"),
        "left_out; schema; it says what the files beside it are"
    );
    let records = inspected(&root, "", "", &[]);
    let read = records.iter().filter(|it| it["state"] == "read");
    let kinds: Vec<_> = read.map(|it| (&it["kind"], &it["kind_from"])).collect();
    assert!(!kinds.is_empty());
    assert!(
        kinds
            .iter()
            .all(|it| *it == (&json!("unknown"), &json!("nobody"))),
        "{kinds:?}"
    );
}

#[test]
fn what_the_receiver_leaves_out_is_listed_with_the_reason() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    for path in [
        "net/eth0/statistics/rx",
        "net/eth0/mtu",
        "net/eth0/statistics/.hidden",
        "net/eth0/queues/rx-0/x",
        "net/lo/statistics/rx",
        "disk/sda/statistics/rx",
        "in_the_root",
    ] {
        file(root, path);
    }
    symlink("eth0", root.join("net/eth1")).unwrap();
    symlink("net", root.join("linked")).unwrap();
    let fifo = root.join("net/eth0/statistics/fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let options = ", layout: '{device}/statistics/{metric}', subsystems: {exclude: [disk]}, devices: {exclude: [lo]}";
    let records = inspected(root, options, "", &["--read"]);
    for (source, expected) in [
        ("net/eth0/statistics/rx", "read"),
        (
            "net/eth0/mtu",
            "left_out; layout; not where `layout` has files",
        ),
        ("net/eth0/queues/", "left_out; layout; no part of `layout`"),
        (
            "net/eth0/statistics/.hidden",
            "left_out; hidden; its name begins with a dot",
        ),
        (
            "net/eth0/statistics/fifo",
            "left_out; special; neither a file nor a directory",
        ),
        ("net/lo/", "left_out; filter; `devices` leaves it out"),
        ("disk/", "left_out; filter; `subsystems` leaves it out"),
        (
            "in_the_root",
            "left_out; layout; in the root, each directory is a subsystem",
        ),
        ("net/eth1/", "left_out; link; a link, which is not followed"),
        (
            "linked/",
            "left_out; link; a link; `follow_links: true` follows it",
        ),
    ] {
        assert_eq!(why(&records, source), expected);
    }
    assert_eq!(records.len(), 10, "{records:#?}");
}

#[test]
fn what_is_beyond_a_limit_is_listed_file_by_file() {
    let tree = tempfile::tempdir().unwrap();
    for path in ["s/a/c", "s/a/d", "s/a/deep/er/c", "s/b/c"] {
        file(tree.path(), path);
    }
    let count = |limits: &str| {
        let options = format!(", limits: {{{limits}}}");
        let records = inspected(tree.path(), &options, "", &[]);
        let limited = records.iter().filter(|it| it["reason"] == "limit");
        let sources = limited.map(|it| it["source"].as_str().unwrap().to_owned());
        let mut sources: Vec<String> = sources.collect();
        sources.sort();
        sources
    };
    assert_eq!(count("series: 2"), ["s/a/deep/er/c", "s/b/c"]);
    assert_eq!(count("files: 3"), ["s/b/c"]);
    assert_eq!(count("depth: 2"), ["s/a/deep/"]);
    assert_eq!(count("directories: 4"), ["s/a/deep/"]);
}

#[test]
fn what_a_processor_drops_is_never_opened_and_names_its_rule() {
    let tree = tempfile::tempdir().unwrap();
    for name in ["kept", "dropped", "not_kept", "ruled_out", "unknown"] {
        file(tree.path(), &format!("s/d/{name}"));
    }
    // A sum of files below, and these.
    file(tree.path(), "kvm/1-2/exits");
    file(tree.path(), "kvm/1-2/vcpu0/exits");
    let processors = "metadata: {unmatched: drop, rules: [{match: {name: s/ruled_out}, drop: true}, {match: {name: 's/{kept,dropped,not_kept}'}, kind: gauge}]}; \
        labels: {actions: [{drop: {match: {name: s/dropped}}}, {keep: {match: {name: '{kvm/*,s/kept}'}}}]}";
    let records = inspected(tree.path(), "", processors, &[]);
    for (source, expected) in [
        ("s/d/kept", "read"),
        ("s/d/dropped", "dropped; labels; dropped; actions.0.drop"),
        ("s/d/not_kept", "dropped; labels; dropped; actions.1.keep"),
        ("s/d/ruled_out", "dropped; metadata; dropped; rules.0"),
        (
            "s/d/unknown",
            "dropped; metadata; dropped; unmatched: nobody knows its kind",
        ),
        (
            "kvm/1-2/exits",
            "dropped; metadata; dropped; aggregates: a sum of files below",
        ),
        ("kvm/1-2/vcpu0/exits", "read"),
    ] {
        assert_eq!(why(&records, source), expected);
    }
    assert_eq!(records.len(), 7, "{records:#?}");
}

#[test]
fn one_of_two_that_are_the_same_series_is_dropped_and_names_the_other() {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "s/a/c");
    file(tree.path(), "s/b/c");
    let processors = "labels: {actions: [{delete: {label: device}}]}";
    let records = inspected(tree.path(), "", processors, &["--read"]);
    assert_eq!(why(&records, "s/a/c"), "read");
    let same = "dropped; metrics; duplicate; the same series as s/a/c of statsfs";
    assert_eq!(why(&records, "s/b/c"), same);
    // Of two pipelines to one exporter.
    let both = format!(
        "receivers: {{statsfs: {{root: {}}}}}\nexporters: {{stdout: }}\nservice: {{pipelines: {{\
         metrics/1: {{receivers: [statsfs], exporters: [stdout]}}, metrics/2: {{receivers: [statsfs], exporters: [stdout]}}}}}}\n",
        tree.path().display()
    );
    for record in records_of_pipelines(&both) {
        let is_first = record["pipeline"] == "metrics/1";
        let expected = if is_first { "read" } else { "dropped" };
        assert_eq!(record["state"], expected, "{record}");
    }
}

fn records_of_pipelines(config: &str) -> Vec<Value> {
    let records = records(Some(config), &[]);
    assert_eq!(records.len(), 4, "{records:#?}");
    records
}

#[test]
fn with_read_there_is_a_value_or_the_reason_why_there_is_none() {
    let tree = tempfile::tempdir().unwrap();
    let directory = tree.path().join("s/d");
    fs::create_dir_all(&directory).unwrap();
    for (name, content) in [
        ("int", "42\n"),
        ("float", "1.5\n"),
        ("empty", ""),
        ("word", "up\n"),
        ("several", "1 2\n"),
        ("large", &"1".repeat(5000)),
        ("beyond", &"9".repeat(30)),
        ("absent", "-1\n"),
        ("scaled", "2\n"),
    ] {
        fs::write(directory.join(name), content).unwrap();
    }
    let options = ", formats: [{match: s/d/float, as: float}, {match: s/d/absent, absent: [-1]}]";
    let processors = "metadata: {rules: [{match: {name: s/scaled}, scale: 512}]}";
    let records = inspected(tree.path(), options, processors, &["--read"]);
    assert_eq!(of(&records, "s/d/int")["value"], 42);
    assert_eq!(of(&records, "s/d/float")["value"], 1.5);
    assert_eq!(of(&records, "s/d/scaled")["value"], 1024.0);
    for (name, reason) in [
        ("empty", "empty"),
        ("word", "not_numeric"),
        ("several", "multi_value"),
        ("large", "too_large"),
        ("beyond", "out_of_range"),
        ("absent", "absent"),
    ] {
        let record = of(&records, &format!("s/d/{name}"));
        assert_eq!(
            [&record["state"], &record["reason"]],
            ["failed", reason],
            "{record}"
        );
    }
    // Without it nothing is known of values.
    let records = inspected(tree.path(), options, processors, &[]);
    assert!(
        records
            .iter()
            .all(|it| it["state"] == "read" && it["value"].is_null()),
        "{records:#?}"
    );
}

#[test]
fn what_this_user_may_not_read_is_told_as_such() {
    const TEST: &str = "what_this_user_may_not_read_is_told_as_such";
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("tree");
    file(&root, "s/d/open");
    file(&root, "s/d/secret");
    file(&root, "s/closed/c");
    fs::set_permissions(root.join("s/d/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(root.join("s/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = if is_root() {
        let Some(command) = as_nobody(TEST, &directory) else {
            return;
        };
        command
    } else {
        Command::new(BINARY)
    };
    command.args(["inspect", "--read", "--config", "-"]);
    let receiver = format!("{{root: {}}}", root.display());
    let output = spawn(command, &config(&receiver, "", "{}"))
        .wait_with_output()
        .unwrap();
    let stdout = text(&output.stdout);
    let records = stdout
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap());
    let records: Vec<Value> = records.collect();
    assert_eq!(
        why(&records, "s/d/secret"),
        "failed; permission; permission denied; passed over (`drop` it by name in `labels`)"
    );
    let closed = "left_out; directory; cannot be listed: permission denied; passed over";
    assert_eq!(why(&records, "s/closed/"), closed);
    assert_eq!(of(&records, "s/d/open")["value"], 1);
}

#[test]
fn a_root_that_is_not_there_is_listed_as_missing_and_a_glob_that_fits_nothing_fails() {
    let config = config("{root: /nowhere}", "", "{}");
    let records = records(Some(&config), &[]);
    assert_eq!(
        why(&records, "/nowhere (no such directory)"),
        "left_out; missing; the receiver has not found it"
    );
    let output = output(Some(&config), &["no/such/file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("nothing to list"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn nothing_is_sent_and_without_read_no_value_is_opened() {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "s/d/value");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let config = format!(
        "receivers: {{statsfs: {{root: {}}}}}\nexporters: {{otlp: {{endpoint: 'http://{}'}}}}\n\
         service: {{pipelines: {{metrics: {{receivers: [statsfs], exporters: [otlp]}}}}}}\n",
        tree.path().display(),
        listener.local_addr().unwrap()
    );
    let found = records(Some(&config), &["--read"]);
    assert_eq!(of(&found, "s/d/value")["exporters"], json!({"otlp": "10s"}));
    let nobody = listener.accept().unwrap_err();
    assert_eq!(
        nobody.kind(),
        std::io::ErrorKind::WouldBlock,
        "nobody has come"
    );
    if !has_program("strace") {
        return lacks(
            "nothing_is_sent_and_without_read_no_value_is_opened",
            "strace",
        );
    }
    let log = tree.path().join("strace");
    for (arguments, expected) in [(&["--read"][..], true), (&[][..], false)] {
        let mut command = Command::new("strace");
        command.args([
            "--follow-forks",
            "--quiet=attach,personality",
            "--trace=openat,socket",
            "--output",
        ]);
        command
            .arg(&log)
            .arg(BINARY)
            .arg("inspect")
            .args(arguments)
            .args(["--config", "-"]);
        let output = spawn(command, &config).wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let trace = fs::read_to_string(&log).unwrap();
        assert_eq!(trace.contains("\"value\""), expected, "{trace}");
        assert!(!trace.contains("AF_INET"), "{trace}");
    }
}
