//! The real OpenTelemetry Collector, as an upstream that writes down what it gets.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{free_address, lacks, repository, signal};

/// A Collector that writes what it gets to a file.
pub(crate) struct Upstream {
    binary: PathBuf,
    /// While it runs.
    child: Option<Child>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    directory: tempfile::TempDir,
}

impl Upstream {
    pub(crate) fn start(test: &str) -> Option<Upstream> {
        let mut upstream = Upstream::down(test, "")?;
        upstream.up();
        Some(upstream)
    }

    /// One that does not run yet; `grpc` are further keys of its receiver. `None`, reported on standard error, where it was
    /// not built.
    pub(crate) fn down(test: &str, grpc: &str) -> Option<Upstream> {
        let binary =
            std::env::var_os("OTELCOL").map_or_else(|| repository(".tools/otelcol"), PathBuf::from);
        if !binary.is_file() {
            lacks(
                test,
                "the OpenTelemetry Collector: scripts/otelcol.sh builds it with Go",
            );
            return None;
        }
        let (more, directory) = (grpc, tempfile::tempdir().unwrap());
        let (grpc, http) = (free_address(), free_address());
        // With a rotation it keeps no buffer: what it acknowledged is in the file, however it ends.
        let config = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}', {more}}}, http: {{endpoint: '{http}'}}}}}}}}\n\
             exporters: {{file: {{path: {}/out.json, rotation: {{max_megabytes: 1000}}}}}}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{metrics: {{receivers: [otlp], exporters: [file]}}}}}}\n",
            directory.path().display()
        );
        std::fs::write(directory.path().join("config.yaml"), config).unwrap();
        Some(Upstream {
            binary,
            child: None,
            grpc,
            http,
            directory,
        })
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn up(&mut self) {
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(self.directory.path().join("config.yaml"));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Everything is ready") {
            line.clear();
            assert!(
                stderr.read_line(&mut line).unwrap() > 0,
                "the Collector did not start"
            );
        }
        // Read on, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        self.child = Some(child);
    }

    pub(crate) fn signal(&self, what: Signal) {
        signal(self.child.as_ref().unwrap(), what);
    }

    /// Ends it by a signal.
    pub(crate) fn stop(&mut self, how: Signal) {
        self.signal(how);
        self.child.take().unwrap().wait().unwrap();
    }

    /// Each request that it has written.
    pub(crate) fn written(&self) -> Vec<Value> {
        let text =
            std::fs::read_to_string(self.directory.path().join("out.json")).unwrap_or_default();
        // Not by lines: one that is killed may not have ended its last one, or is writing it now.
        let all = serde_json::Deserializer::from_str(&text).into_iter();
        all.map_while(Result::ok).collect()
    }

    /// Ends it, and gives each request that it wrote.
    pub(crate) fn end(mut self) -> Vec<Value> {
        self.stop(Signal::TERM);
        self.written()
    }
}

impl Drop for Upstream {
    /// A test that fails leaves none behind.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
