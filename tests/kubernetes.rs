//! The manifests in deploy/kubernetes, which deploy/helm takes too; that they are Kubernetes' own shape, scripts/kubernetes.sh shows.

use std::fs;
use std::process::Command;

use crate::common::{BINARY, repository, text};

/// The directories with a configuration of this program, and what else `args` may have.
const AGENTS: [(&str, &[&str]); 5] = [
    ("base", &[]),
    ("base", &INSECURE),
    ("overlays/kvm", &[]),
    ("overlays/kvm", &INSECURE),
    ("overlays/gcp", &[]),
];
/// In overlays/plain and in deploy/helm.
const INSECURE: [&str; 2] = ["--set", "exporters.otlp.tls.insecure=false"];

#[test]
fn each_configuration_in_the_manifests_is_valid() {
    for (directory, arguments) in AGENTS {
        let path = repository("deploy/kubernetes")
            .join(directory)
            .join("config.yaml");
        let mut command = Command::new(BINARY);
        command.arg("validate").arg("--config").arg(&path);
        command.args(arguments).env("NODE_NAME", "node-1");
        let output = command.output().unwrap();
        let is_silent = output.stderr.is_empty();
        assert!(
            output.status.success() && is_silent,
            "{directory}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn what_turns_plain_text_off_is_what_the_manifests_have() {
    let [set, key] = INSECURE;
    for path in [
        "deploy/kubernetes/overlays/plain/kustomization.yaml",
        "deploy/helm/templates/agent.yaml",
    ] {
        let manifest = fs::read_to_string(repository(path)).unwrap();
        assert!(manifest.contains(set) && manifest.contains(key), "{path}");
    }
}
