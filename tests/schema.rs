//! The schema of the configuration, all options at their defaults, and what documents the command line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::{BINARY, lacks, repository, spawn, text};

/// The output of the program with these arguments.
fn output_of(arguments: &[&str], config: &str) -> String {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    let output = spawn(command, config).wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    text(&output.stdout)
}

fn yaml_files(directory: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(repository(directory)).unwrap();
    let files = files.map(|it| it.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|it| it.extension().is_some_and(|it| it == "yaml"))
        .collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// What is wrong where no schema can know it: it is no YAML, or no JSON, or more than the shape of a value.
const BEYOND_A_SCHEMA: [&str; 9] = [
    "beyond_ascii",
    "beyond_ascii_syntax",
    "duplicate_key",
    "empty",
    "large_number",
    "second_document",
    "tab",
    "unquoted",
    "byte_order_mark",
];

#[test]
fn the_schema_of_the_repository_is_that_of_the_program_and_editors_find_it() {
    let path = repository("docs/configuration.schema.json");
    let schema = output_of(&["schema"], "");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    assert!(schema == read(&path), "UPDATE_EXPECTED=1 writes it");
    for file in yaml_files("configs") {
        let line = "# yaml-language-server: $schema=../docs/configuration.schema.json";
        assert!(read(&file).contains(line), "{}", file.display());
    }
}

#[test]
fn every_configuration_of_the_repository_fits_the_schema_and_the_wrong_ones_do_not() {
    let test = "every_configuration_of_the_repository_fits_the_schema_and_the_wrong_ones_do_not";
    let python = repository(".tools/schema/bin/python");
    if !python.exists() {
        return lacks(test, "jsonschema (PyPI) in .tools/schema");
    }
    let documents = |directory: &str| -> Vec<(String, Value)> {
        let files = yaml_files(directory).into_iter();
        let named = files.map(|it| {
            (
                it.file_stem().unwrap().to_str().unwrap().to_owned(),
                read(&it),
            )
        });
        let named = named.filter(|(name, _)| !BEYOND_A_SCHEMA.contains(&&**name));
        named
            .map(|(name, text)| {
                let mut value: serde_yaml::Value =
                    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                value.apply_merge().unwrap();
                (name, serde_json::to_value(value).unwrap())
            })
            .collect()
    };
    let schema: Value = serde_json::from_str(&output_of(&["schema"], "")).unwrap();
    let fits = documents("configs");
    let wrong = documents("tests/configurations");
    assert!(fits.len() > 4 && wrong.len() > 4);
    let input = json!({"schema": schema, "fits": fits, "wrong": wrong}).to_string();
    let check = "
import json, sys, jsonschema
given = json.load(sys.stdin)
jsonschema.Draft7Validator.check_schema(given['schema'])
validator = jsonschema.Draft7Validator(given['schema'])
for name, document in given['fits']:
    for error in validator.iter_errors(document):
        print(name, 'does not fit:', error.json_path, error.message)
for name, document in given['wrong']:
    if validator.is_valid(document):
        print(name, 'fits')
";
    let mut command = Command::new(python);
    command.args(["-c", check]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn with_defaults_every_option_is_printed_and_read_again_it_is_the_same() {
    for file in yaml_files("configs") {
        let arguments = ["print-config", "--defaults", "--config", "-"];
        let whole = output_of(&arguments, &read(&file));
        // Secrets are not there to be read again.
        if !whole.contains("[REDACTED]") {
            assert_eq!(output_of(&arguments, &whole), whole, "{}", file.display());
        }
        for option in [
            "channel_capacity: 16",
            "rescan_interval: 300s",
            "overflow: coalesce",
        ] {
            assert!(whole.contains(option), "{option}: {whole}");
        }
    }
}

#[test]
fn completions_and_the_manual_page_know_every_command() {
    let help = output_of(&["--help"], "");
    let page = output_of(&["man"], "");
    assert!(page.contains(".TH statsfs-collector"), "{page}");
    for shell in ["bash", "zsh", "fish"] {
        let script = output_of(&["completions", shell], "");
        for command in [
            "validate",
            "print-config",
            "components",
            "schema",
            "completions",
            "man",
        ] {
            assert!(
                help.contains(command) && script.contains(command),
                "{shell}: {command}"
            );
            assert!(
                page.replace('\\', "").contains(command),
                "{command}: {page}"
            );
        }
    }
}
