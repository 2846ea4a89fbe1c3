//! The manifests in deploy/kubernetes; that they are Kubernetes' own shape, scripts/kubernetes.sh shows.

use std::process::Command;

use crate::common::{BINARY, repository, text};

/// The directories with a configuration of this program.
const AGENTS: [&str; 3] = ["base", "overlays/kvm", "overlays/gcp"];

#[test]
fn each_configuration_in_the_manifests_is_valid() {
    for directory in AGENTS {
        let path = repository("deploy/kubernetes")
            .join(directory)
            .join("config.yaml");
        let mut command = Command::new(BINARY);
        command.arg("validate").arg("--config").arg(&path);
        command.env("NODE_NAME", "node-1");
        let output = command.output().unwrap();
        let is_silent = output.stderr.is_empty();
        assert!(
            output.status.success() && is_silent,
            "{directory}: {}",
            text(&output.stderr)
        );
    }
}
