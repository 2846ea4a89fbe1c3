//! Files that are no files, and texts that would be more than text.

use std::process::Command;

use pipeline::telemetry::is_control_or_format;

use crate::common::{self, config, run, text};

/// The configuration with this in the place of a value.
fn with_label(value: &str) -> String {
    config(
        &format!("{{root: /sys, labels: {{a: '{value}'}}}}"),
        "",
        "{}",
    )
}

#[test]
fn a_value_comes_out_of_a_regular_file_of_a_mebibyte_at_the_most_and_nothing_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let made = Command::new("mkfifo").arg(path("fifo")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    std::fs::write(path("large"), vec![b'x'; (1 << 20) + 1]).unwrap();
    std::fs::write(path("bytes"), [0xff, 0xfe]).unwrap();
    for (path, why) in [
        (path("fifo"), "it is a FIFO, not a regular file"),
        (path("socket"), "it is a socket, not a regular file"),
        (path(""), "it is a directory, not a regular file"),
        ("/dev/zero".into(), "it is a device, not a regular file"),
        (path("large"), "it has more than 1 MiB"),
        (path("bytes"), "it is not UTF-8"),
    ] {
        let output = run(&with_label(&format!("${{file:{path}}}")), &["validate"]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        let expected = format!("error: cannot read `{path}`: {why}\n --> standard input:2:");
        assert!(stderr.contains(&expected), "{expected}: {stderr}");
    }
    // One of procfs has no size, and is read all the same.
    let output = run(
        &with_label("${file:/proc/sys/kernel/ostype}"),
        &["validate"],
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_file_that_a_component_is_built_from_is_a_regular_one_too() {
    let receiver = "{root: /sys}";
    for (processors, path) in [
        (
            "metadata: {catalogs: [/dev/zero]}",
            "processors.metadata.catalogs.0",
        ),
        (
            "metadata: {catalogs: [/proc]}",
            "processors.metadata.catalogs.0",
        ),
    ] {
        let output = run(&config(receiver, processors, "{}"), &["validate"]);
        let stderr = text(&output.stderr);
        assert!(stderr.contains("not a regular file"), "{stderr}");
        assert!(stderr.contains(path), "{stderr}");
    }
}

#[test]
fn a_configuration_comes_through_a_pipe_but_is_not_read_for_ever() {
    let endless = Command::new(common::BINARY)
        .args(["validate", "--config", "/dev/zero"])
        .output()
        .unwrap();
    let stderr = text(&endless.stderr);
    let expected = "cannot read /dev/zero: it has more than 16 MiB";
    assert!(
        endless.status.code() == Some(2) && stderr.contains(expected),
        "{stderr}"
    );
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let mut reader = Command::new(common::BINARY)
        .args(["validate", "--config"])
        .arg(&fifo)
        .spawn()
        .unwrap();
    // It waits for the one that writes.
    std::fs::write(&fifo, with_label("x")).unwrap();
    assert!(reader.wait().unwrap().success());
}

#[test]
fn a_mistake_is_shown_without_what_would_move_the_cursor_and_without_a_password() {
    let output = run(
        "receivers: {\"a\\nerror: b\\e[2J\\u202e\": {}}\nexporters: {otlp: {endpoint: 'http://user:hunter2@h:1'}}\n\
         service: {\u{61c}x: \u{2066}, pipelines: {metrics: {receivers: [], exporters: [otlp]}}}\r\n",
        &["validate"],
    );
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let is_odd = |c: char| c != '\n' && is_control_or_format(c);
    assert!(!stderr.contains(is_odd), "{stderr:?}");
    assert!(!stderr.contains("\nerror: b"), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
    assert!(
        stderr.contains("an endpoint has no user and no password"),
        "{stderr}"
    );
    assert!(stderr.contains("http://************@h:1"), "{stderr}");
}

#[test]
fn a_name_of_the_tree_is_on_one_line_in_every_output_and_in_the_logs() {
    let tree = tempfile::tempdir().unwrap();
    let directory = tree.path().join("s\n\u{1b}[2J\u{9b}");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("\u{202e}one\u{2028}"), "1\n").unwrap();
    std::fs::write(directory.join("bad\nWARN\u{85}"), "no number\n").unwrap();
    let receiver = format!("{{root: {}}}", tree.path().display());
    for format in ["text", "json", "prometheus"] {
        let whole = config(&receiver, "", &format!("{{format: {format}}}"));
        for encoding in ["console", "json"] {
            let set = format!("service.telemetry.logs.encoding={encoding}");
            let output = run(&whole, &["--once", "--set", &set]);
            for stream in [&output.stdout, &output.stderr] {
                let stream = text(stream);
                let is_odd = |c: char| c != '\n' && is_control_or_format(c);
                assert!(!stream.contains(is_odd), "{format} {encoding}: {stream:?}");
                assert!(
                    !stream.lines().any(|line| line.starts_with("WARN")),
                    "{stream}"
                );
            }
            assert!(!output.stdout.is_empty(), "{}", text(&output.stderr));
        }
    }
}
