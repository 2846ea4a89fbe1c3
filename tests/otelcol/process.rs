//! The real OpenTelemetry Collector, as an upstream that writes down what it gets.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{free_address, lacks, repository, signal};

/// A Collector that writes what it gets to a file.
pub(crate) struct Otelcol {
    binary: PathBuf,
    /// While it runs.
    child: Option<Child>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    directory: tempfile::TempDir,
}

impl Otelcol {
    pub(crate) fn start(test: &str) -> Option<Otelcol> {
        let mut otelcol = Otelcol::stopped(test, "")?;
        otelcol.run();
        Some(otelcol)
    }

    /// One that does not run yet; `receiver` are further keys of its receiver. `None`, reported on standard error, where it was
    /// not built.
    pub(crate) fn stopped(test: &str, receiver: &str) -> Option<Otelcol> {
        let binary =
            std::env::var_os("OTELCOL").map_or_else(|| repository(".tools/otelcol"), PathBuf::from);
        if !binary.is_file() {
            lacks(
                test,
                "the OpenTelemetry Collector: scripts/otelcol.sh builds it with Go",
            );
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (grpc, http) = (free_address(), free_address());
        // With a rotation it keeps no buffer: what it acknowledged is in the file, however it ends.
        let config = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}', {receiver}}}, http: {{endpoint: '{http}'}}}}}}}}\n\
             exporters: {{file: {{path: {}/out.json, rotation: {{max_megabytes: 1000}}}}}}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{metrics: {{receivers: [otlp], exporters: [file]}}}}}}\n",
            directory.path().display()
        );
        std::fs::write(directory.path().join("config.yaml"), config).unwrap();
        Some(Otelcol {
            binary,
            child: None,
            grpc,
            http,
            directory,
        })
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn run(&mut self) {
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
    pub(crate) fn requests(&self) -> Vec<Value> {
        let text =
            std::fs::read_to_string(self.directory.path().join("out.json")).unwrap_or_default();
        // Not by lines: one that is killed may not have ended its last one, or is writing it now.
        let all = serde_json::Deserializer::from_str(&text).into_iter();
        all.map_while(Result::ok).collect()
    }

    /// Ends it, and gives each request that it wrote.
    pub(crate) fn end(mut self) -> Vec<Value> {
        self.stop(Signal::TERM);
        self.requests()
    }
}

impl Drop for Otelcol {
    /// A test that fails leaves none behind.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
