//! Subcommands and options.

use crate::common::{self, text};
use crate::configuration::{SMALL, validate, with};

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
