//! The gateway: a real Collector with the configuration of deploy/kubernetes/gateway.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::otelcol;
use crate::served::{Served, free_port, write};

/// Where it sends what it gets.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Nowhere: what receiving alone costs.
    Nowhere,
    /// To a backend, as it is deployed.
    Onward,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Nowhere => "takes",
            Kind::Onward => "takes and sends on",
        }
    }
}

pub(crate) struct Gateway {
    pub(crate) process: Served,
    pub(crate) port: u16,
}

impl Gateway {
    /// On the CPUs of the thread that calls it.
    pub(crate) fn start(directory: &Path, kind: Kind, backend: SocketAddr) -> io::Result<Gateway> {
        let (port, health) = (free_port()?, free_port()?);
        let exporter = match kind {
            Kind::Nowhere => "nop",
            Kind::Onward => "otlp",
        };
        // What is of this host, over what is deployed.
        let here = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
             exporters: {{nop: {{}}, otlp: {{tls: {{insecure: true}}}}}}\n\
             extensions: {{health_check: {{endpoint: '127.0.0.1:{health}'}}}}\n\
             service: {{telemetry: {{logs: {{level: fatal}}, metrics: {{level: none}}}}, pipelines: {{metrics: {{exporters: [{exporter}]}}}}}}\n"
        );
        let here = write(directory, "gateway.yaml", &here)?;
        let deployed = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../deploy/kubernetes/gateway/config.yaml"
        );
        let mut command = Command::new(otelcol::program()?);
        command.arg("--config").arg(deployed);
        command.arg("--config").arg(here);
        command.env("BACKEND_ENDPOINT", backend.to_string());
        // The deployment's, and what one core has.
        command.env("GOMEMLIMIT", "800MiB").env("GOMAXPROCS", "1");
        command.stderr(Stdio::inherit());
        let process = Served::start("the Collector", command, port)?;
        Ok(Gateway { process, port })
    }
}
