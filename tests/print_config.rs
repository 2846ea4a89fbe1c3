//! What `print-config` prints is the configuration, without its secrets.

use std::process::Command;

use crate::common::{BINARY, repository, spawn, text};
use crate::configuration::{SMALL, with};

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
