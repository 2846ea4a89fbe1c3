//! What deploy/packages and deploy/container ship; that it can be installed and run, scripts/ship.sh shows.

use std::fs;
use std::process::Command;

use serde_yaml::Value;

use crate::common::{BINARY, repository, text};

/// What `validate` says of this configuration; nothing if nothing.
fn said(config: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command.args(["validate", "--config"]);
    command.arg(repository(config)).args(arguments);
    command.env_remove("OTLP_ENDPOINT");
    let output = command.output().unwrap();
    assert_eq!(output.status.success(), output.stderr.is_empty());
    text(&output.stderr)
}

#[test]
fn the_packaged_configurations_lack_nothing_but_the_endpoint() {
    let config = "deploy/packages/config.yaml";
    assert!(said(config, &[]).starts_with("error: missing key `endpoint`"));
    let endpoint = [
        "--set",
        "exporters.otlp={endpoint: 'localhost:4317', tls: {insecure: true}}",
    ];
    assert_eq!(said(config, &endpoint), "");
    let config = "deploy/container/root/etc/statsfs-collector/config.yaml";
    let missing = said(config, &[]);
    assert!(missing.contains("`OTLP_ENDPOINT` is not set"), "{missing}");
    assert_eq!(missing.matches("error:").count(), 1, "{missing}");
    assert_eq!(said(config, &endpoint), "");
}

#[test]
fn every_file_of_the_packages_is_in_the_repository_or_made_by_their_script() {
    let path = "deploy/packages/nfpm.yaml";
    let package = fs::read_to_string(repository(path)).unwrap();
    let package: Value = serde_yaml::from_str(&package).unwrap();
    let script = fs::read_to_string(repository("scripts/packages.sh")).unwrap();
    let contents = package["contents"].as_sequence().unwrap().iter();
    let mut sources: Vec<&Value> = contents.map(|it| &it["src"]).collect();
    for packager in ["deb", "rpm"] {
        let scripts = &package["overrides"][packager]["scripts"];
        sources.extend(scripts.as_mapping().unwrap().values());
    }
    for source in sources {
        let source = source.as_str().unwrap();
        let is_there = match source.strip_prefix("target/packages/files/") {
            Some(made) => {
                let made = made.split("completions.").last().unwrap();
                script.contains(made)
            }
            None => repository(source).is_file(),
        };
        assert!(is_there, "{source}");
    }
}

#[test]
fn every_unit_and_drop_in_is_packaged() {
    let package = fs::read_to_string(repository("deploy/packages/nfpm.yaml")).unwrap();
    for entry in fs::read_dir(repository("deploy/systemd")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(package.contains(&format!("deploy/systemd/{name}")));
    }
}
