//! What a user may write, and the diagnostics of what cannot be meant.

use std::process::{Command, Output};

use crate::common::alone::{KVM, alone};
use crate::common::{self, BINARY, repository, spawn, text};

fn with(arguments: &[&str], config: &str) -> Output {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env("TEST_HOST", "a-host")
        .env("TEST_EMPTY", "")
        .env("TEST_NUMBER", "0123")
        .env_remove("TEST_UNSET");
    spawn(command, config).wait_with_output().unwrap()
}

fn validate(config: &str) -> Output {
    with(&["validate", "--config", "-"], config)
}

/// A pipeline of one receiver and one exporter.
const SMALL: &str = "receivers: {statsfs: {root: /sys}}\nexporters: {stdout: {}}\nservice: {pipelines: {metrics: {receivers: [statsfs], exporters: [stdout]}}}\n";

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

/// The configuration as `print-config` prints it.
fn print_config(config: &str, value: &str) -> String {
    let mut command = Command::new(BINARY);
    command
        .args(["print-config", "--config", "-"])
        .env("TEST_VALUE", value);
    let output = spawn(command, config).wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{value:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn what_print_config_prints_is_the_same_configuration_when_it_is_read() {
    let mut texts: Vec<String> = [
        "1e5",
        "true",
        "1.10",
        "$$",
        "0123",
        "~",
        "",
        " ",
        "null",
        "yes",
        "0x1f",
        "-",
        "*a",
        "&a",
        "!x",
        "a: b",
        "# no",
        "${env:HOME}",
        "$",
        "${",
        "'",
        "\"",
        "\\",
        "a\nb",
        "\t",
        "{}",
        "[1]",
        "2020-01-01",
        ".inf",
        "é",
        "\u{85}",
        "x\n\u{2029}",
        "\u{2028}y\n\u{80}\u{feff}",
        "<<",
        "1_000",
        "0o17",
        "%",
        "@a",
        "`a`",
    ]
    .map(String::from)
    .into();
    let mut random = fastrand::Rng::with_seed(1);
    let characters: Vec<char> = "$${}:-#'\"\\ \n~1e5.true0x&*!|>%@`,[]?é".chars().collect();
    texts.extend((0..40).map(|_| {
        let length = random.usize(1..8);
        let text = (0..length).map(|_| characters[random.usize(..characters.len())]);
        text.collect::<String>()
    }));
    let config = SMALL.replace("{root: /sys}", "{root: /sys, labels: {of: '${env:TEST_VALUE}', is: 'x${env:TEST_VALUE}y'}, readers: '${env:TEST_UNSET:-3}'}");
    for value in texts {
        let printed = print_config(&config, &value);
        assert_eq!(print_config(&printed, "another"), printed, "{value:?}");
        let read: serde_yaml::Value = serde_yaml::from_str(&printed).unwrap();
        let receiver = &read["receivers"]["statsfs"];
        let shown = |key: &str| {
            receiver["labels"][key]
                .as_str()
                .map(|it| it.replace("$$", "$"))
        };
        assert_eq!(shown("of"), Some(value.clone()), "{printed}");
        assert_eq!(shown("is"), Some(format!("x{value}y")), "{printed}");
        assert_eq!(receiver["readers"], 3, "{printed}");
    }
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
fn a_name_of_a_configuration_needs_no_option_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("small.yaml");
    std::fs::write(&path, SMALL).unwrap();
    let path = path.to_str().unwrap();
    for arguments in [
        vec!["validate", path],
        vec![path, "validate"],
        vec!["validate", "-c", path],
    ] {
        let output = with(&arguments, "");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
    let printed = with(
        &[
            "print-config",
            path,
            "--set",
            "exporters.stdout.format=json",
        ],
        "",
    );
    assert!(text(&printed.stdout).contains("format: json"));
    let missing = text(&with(&["validate", "no-such.yml"], "").stderr);
    assert!(missing.contains("cannot read no-such.yml"), "{missing}");
    let misspelt = text(&with(&["validat", path], "").stderr);
    assert!(
        misspelt.contains("subcommand 'validat'") && misspelt.contains("'validate'"),
        "{misspelt}"
    );
}

#[test]
fn a_set_below_a_key_with_a_dot_in_it_tells_how_it_is_written() {
    let output = with(
        &[
            "validate",
            "--config",
            "-",
            "--set",
            "service.resource.host.name=x",
        ],
        SMALL,
    );
    let stderr = text(&output.stderr);
    assert!(stderr.contains("`--set 'a.b={c.d: value}'`"), "{stderr}");
    let written = "service.resource={host.name: x}";
    let output = with(&["validate", "--config", "-", "--set", written], SMALL);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn secrets_and_what_came_out_of_files_are_not_printed() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let otlp = format!(
        "otlp: {{endpoint: 'localhost:1', headers: {{authorization: 'Bearer swordfish'}}, tls: {{server_name_override: '${{file:{}}}'}}}}",
        token.display()
    );
    let config = SMALL
        .replace("stdout: {}", &otlp)
        .replace("[stdout]", "[otlp]");
    let output = with(&["print-config", "--config", "-"], &config);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        !printed.contains("hunter2") && !printed.contains("swordfish"),
        "{printed}"
    );
    assert_eq!(printed.matches("[REDACTED]").count(), 2, "{printed}");
}

#[test]
fn without_a_file_print_config_gives_the_embedded_default() {
    let output = with(&["print-config"], "");
    assert_eq!(
        text(&output.stdout),
        std::fs::read_to_string(repository("configs/default.yaml")).unwrap()
    );
    let output = with(
        &["print-config", "--set", "exporters.stdout.format=json"],
        "",
    );
    assert!(
        text(&output.stdout).contains("format: json"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn components_are_listed_with_crate_version_and_file() {
    let output = with(&["components"], "");
    let listed = text(&output.stdout);
    for line in [
        "statsfs receiver statsfs-collector-receiver-statsfs 0.2.0 receivers/statsfs/src/lib.rs",
        "otlp exporter statsfs-collector-exporter-otlp 0.2.0 exporters/otlp/src/lib.rs",
        "file_storage extension statsfs-collector-extension-file-storage 0.2.0 extensions/file_storage/src/lib.rs",
        "health_check extension statsfs-collector-extension-health-check 0.2.0 extensions/health_check/src/lib.rs",
    ] {
        assert!(
            common::lines(&output.stdout).iter().any(|it| it == line),
            "{line}: {listed}"
        );
    }
    assert_eq!(listed.lines().count(), 14);
}

#[test]
fn a_wrong_command_line_exits_2_and_help_0() {
    assert_eq!(with(&["--nonsense"], "").status.code(), Some(2));
    assert_eq!(
        with(&["validate", "--config", "/no/such.yaml"], "")
            .status
            .code(),
        Some(2)
    );
    let help = with(&["--help"], "");
    assert_eq!(help.status.code(), Some(0));
    assert!(
        text(&help.stdout).contains("Exit codes"),
        "{}",
        text(&help.stdout)
    );
    assert!(validate(SMALL).status.success());
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
