//! What a user may write, and the diagnostics of what cannot be meant.

use std::process::{Command, Output};

use crate::common::alone::{KVM, alone};
use crate::common::{self, BINARY, repository, spawn, text};

/// The program with these arguments and this configuration, and variables that may be named in it.
pub(crate) fn with(arguments: &[&str], config: &str) -> Output {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env("TEST_HOST", "a-host")
        .env("TEST_EMPTY", "")
        .env("TEST_NUMBER", "0123")
        .env_remove("TEST_UNSET");
    spawn(command, config).wait_with_output().unwrap()
}

pub(crate) fn validate(config: &str) -> Output {
    with(&["validate", "--config", "-"], config)
}

/// A pipeline of one receiver and one exporter.
pub(crate) const SMALL: &str = "receivers: {statsfs: {root: /sys}}\nexporters: {stdout: {}}\nservice: {pipelines: {metrics: {receivers: [statsfs], exporters: [stdout]}}}\n";

#[test]
fn every_configuration_of_the_repository_is_valid_and_runs_where_it_can() {
    // The default is among them, which sweeps debugfs.
    let _kvm = alone(&KVM);
    let mut count = 0;
    for file in std::fs::read_dir(repository("configs")).unwrap() {
        let file = file.unwrap().path();
        let path = file.to_str().unwrap();
        let output = with(&["validate", "--config", path], "");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{path}: {}",
            text(&output.stderr)
        );
        // With an upstream that is not there it would only wait; KVM's has a test of its own.
        let yaml = text(&std::fs::read(&file).unwrap());
        if !yaml.contains("otlp:") && !yaml.contains("gcp:") {
            let tree = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
            let mut command = Command::new(BINARY);
            command
                .args(["--once", "--config", path])
                .env("STATSFS_ROOT", tree);
            let output = command.output().unwrap();
            let is_scraped = yaml.contains("exporters: [prometheus]");
            assert!(
                output.status.success() && (is_scraped || !output.stdout.is_empty()),
                "{path}: {}",
                text(&output.stderr)
            );
        }
        count += 1;
    }
    assert!(count >= 5);
}

#[test]
fn all_mistakes_are_reported_in_one_run_each_at_its_place() {
    let cases = repository("tests/configurations");
    let mut count = 0;
    for file in std::fs::read_dir(&cases).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|it| it != "yaml") {
            continue;
        }
        let mut command = Command::new(BINARY);
        command
            .arg("validate")
            .arg("--config")
            .arg(file.file_name().unwrap())
            .current_dir(&cases)
            .env_remove("TEST_UNSET");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", file.display());
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected, &output.stderr).unwrap();
        }
        let expected = std::fs::read_to_string(&expected)
            .unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
        assert_eq!(text(&output.stderr), expected, "{}", file.display());
        count += 1;
    }
    assert!(count >= 6);
}

#[test]
fn files_are_merged_maps_deep_lists_replaced_and_set_comes_last() {
    let directory = tempfile::tempdir().unwrap();
    let over = directory.path().join("over.yaml");
    std::fs::write(
        &over,
        "receivers: {statsfs: {collection_interval: 1s, labels: {b: '2'}, formats: []}}\n",
    )
    .unwrap();
    let base = SMALL.replace(
        "{root: /sys}",
        "{root: /sys, labels: {a: '1'}, formats: [{match: x, as: hex}]}",
    );
    let set = "receivers.statsfs.labels.c=three";
    let output = with(
        &[
            "print-config",
            "--config",
            "-",
            "--config",
            over.to_str().unwrap(),
            "--set",
            set,
        ],
        &base,
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: serde_yaml::Value = serde_yaml::from_str(&text(&output.stdout)).unwrap();
    let expected =
        "{root: /sys, labels: {a: '1', b: '2', c: three}, formats: [], collection_interval: 1s}";
    assert_eq!(
        printed["receivers"]["statsfs"],
        serde_yaml::from_str::<serde_yaml::Value>(expected).unwrap()
    );
}

#[test]
fn variables_are_substituted_in_leaves_and_take_the_type_that_is_wanted() {
    let config = SMALL.replace("{root: /sys}", "{root: '/x/${env:TEST_HOST}/$$/${TEST_UNSET:-d}', labels: {e: '${env:TEST_EMPTY}', n: '${env:TEST_NUMBER}'}, limits: {depth: '${env:TEST_UNSET:-7}'}}");
    let output = with(&["print-config", "--config", "-"], &config);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: serde_yaml::Value = serde_yaml::from_str(&text(&output.stdout)).unwrap();
    // A dollar is written twice.
    let expected = "{root: /x/a-host/$$/d, labels: {e: '', n: '0123'}, limits: {depth: 7}}";
    assert_eq!(
        printed["receivers"]["statsfs"],
        serde_yaml::from_str::<serde_yaml::Value>(expected).unwrap()
    );
}

#[test]
fn what_is_deeper_than_yaml_is_read_and_many_keys_twice_cost_little() {
    for (text, message) in [
        (
            "- ".repeat(100_000) + "1",
            "more than 128 maps and lists deep",
        ),
        ("a: 1\n".repeat(20_000), "the key `a` stands twice"),
    ] {
        let output = validate(&text);
        let stderr = self::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr.contains(message) && stderr.len() < 20_000,
            "{message}"
        );
    }
}

#[test]
fn a_document_may_end_and_what_begins_with_x_is_the_users_own() {
    let anchored = SMALL.replace("{root: /sys}", "*tree");
    let config = format!(
        "x-trees:\n  - &tree {{root: '/${{env:TEST_HOST}}'}}\n  - '${{env:TEST_UNSET}}'\n{anchored}---\n"
    );
    let output = with(&["print-config", "--config", "-"], &config);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        printed.contains("root: /a-host") && !printed.contains("x-trees"),
        "{printed}"
    );
}

#[test]
fn an_unused_component_is_a_warning() {
    let output = validate(&SMALL.replace(
        "exporters: {stdout: {}}",
        "exporters: {stdout: {}, stdout/unused: {}}",
    ));
    assert!(output.status.success());
    assert!(
        text(&output.stderr)
            .contains("warning: `stdout/unused` is defined here, but no pipeline uses it"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn host_root_prefixes_what_is_read_of_the_host() {
    let host = tempfile::tempdir().unwrap();
    let write = |path: &str, content: &str| {
        let path = host.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("etc/hostname", "the-host\n");
    write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    write("etc/os-release", "NAME=x\nVERSION_ID=\"42\"\n");
    write("proc/stat", "cpu 1\nbtime 1700000000\n");
    write(
        "proc/1/mountinfo",
        "36 25 0:99 / /sys/kernel/stats rw - statsfs none rw\n",
    );
    write("sys/kernel/stats/net/eth0/rx_bytes", "7\n");
    let config = SMALL
        .replace("{root: /sys}", "{root: 'statsfs:'}")
        .replace("stdout: {}", "stdout: {format: json}")
        .replace(
            "service: {",
            &format!("service: {{host_root: {}, ", host.path().display()),
        );
    let output = with(&["--once", "--config", "-"], &config);
    let json = text(&output.stdout);
    for part in [
        "\"the-host\"",
        "0123456789abcdef0123456789abcdef",
        "\"42\"",
        "\"net/rx_bytes\"",
        "\"asInt\":\"7\"",
    ] {
        assert!(
            json.contains(part),
            "{part}: {json} {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_group_that_an_expression_does_not_have_is_refused_with_the_mend() {
    let labels =
        r#"labels: {actions: [{replace: {label: device, regex: "^/(.*)$", with: "$1_x"}}]}"#;
    let config = common::config("{root: /sys/class/net}", labels, "{}");
    let output = validate(&config);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let why = "the expression has no group `1_x`; `$${1}_x` is the group `1` and then `_x`";
    assert!(stderr.contains(why), "{stderr}");
    assert!(
        stderr.contains("processors.labels.actions.0.replace.with"),
        "{stderr}"
    );
    let output = validate(&config.replace("$1_x", "$${1}_x"));
    assert!(output.status.success(), "{}", text(&output.stderr));
}
