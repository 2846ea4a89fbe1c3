//! A second fake of Cloud Monitoring, made of Google's own Python package: an independent reading of the same documents.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// The Python fake, in a process that ends when this is dropped.
#[derive(Clone, Debug)]
pub struct PythonFake {
    process: Arc<Mutex<(ChildStdin, BufReader<ChildStdout>, Child)>>,
    /// The port it listens on, on 127.0.0.1.
    pub port: u16,
}

/// What the Python fake needs. `.ci/run` installs it.
pub const PYTHON_REQUIREMENT: &str =
    "google-cloud-monitoring in .tools/gcp, which .ci/run installs";

impl PythonFake {
    /// Starts the fake; `None` where Google's package is not installed.
    #[must_use]
    pub fn start() -> Option<PythonFake> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = directory.join("cloud_monitoring.py");
        let mut command = Command::new(directory.join("../../../.tools/gcp/bin/python"));
        command.arg(script).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        output.read_line(&mut port).unwrap();
        Some(PythonFake {
            process: Arc::new(Mutex::new((input, output, child))),
            port: port.trim().parse().unwrap(),
        })
    }

    /// Changes the fake's settings (`{"interval": 1}`). Returns the report.
    #[allow(clippy::must_use_candidate)] // most callers change a setting only
    pub fn control(&self, what: &Value) -> Value {
        let (input, output, _) = &mut *self.process.lock().unwrap();
        writeln!(input, "{what}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The report of what it has received so far.
    #[must_use]
    pub fn report(&self) -> Value {
        self.control(&serde_json::json!({}))
    }
}

impl Drop for PythonFake {
    fn drop(&mut self) {
        if let Some(process) = Arc::get_mut(&mut self.process) {
            let (_, _, child) = process.get_mut().unwrap();
            // It may have exited by itself, which the test has noticed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
