//! A real Prometheus.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::get;
use crate::common::{free_address, has_program, lacks, spawn};

/// What does not come in this time does not come at all. After twice as long the program that it scrapes is killed.
const LATE: Duration = Duration::from_mins(5);

pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// One that scrapes this address each second; `None`, reported on standard error, where there is none to be had.
    pub(crate) fn start(test: &str, target: SocketAddr) -> Option<Prometheus> {
        let job = format!("job_name: host\n  static_configs: [{{targets: ['{target}']}}]\n");
        Prometheus::with(
            test,
            &format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n- {job}"),
        )
    }

    /// The same with this configuration.
    pub(crate) fn with(test: &str, config: &str) -> Option<Prometheus> {
        if !has_program("prometheus") {
            lacks(test, "Debian's package prometheus");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let address = free_address();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!(
            "--storage.tsdb.path={}",
            directory.path().join("data").display()
        ));
        command.arg(format!("--web.listen-address={address}"));
        let mut child = spawn(command, "");
        // What it logs is not read.
        let mut logs = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut logs, &mut std::io::sink()));
        child.stderr = None;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::yield_now();
        }
        Some(Prometheus {
            child,
            address,
            _directory: directory,
        })
    }

    /// The value of an expression that has one: the first of them.
    pub(crate) fn query(&self, expression: &str) -> Option<String> {
        let value = &self.data(expression)["result"][0]["value"][1];
        value.as_str().map(Into::into)
    }

    /// What it answers to an expression; null while it is still starting.
    fn data(&self, expression: &str) -> Value {
        let encoded = expression.bytes().map(|byte| format!("%{byte:02x}"));
        let encoded = encoded.collect::<Vec<_>>().concat();
        let answer = get(self.address, &format!("/api/v1/query?query={encoded}"), &[]);
        let mut answer: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
        // Else the expression is wrong.
        assert_ne!(answer["errorType"], "bad_data", "{expression}: {answer}");
        answer["data"].take()
    }

    /// The samples of one series in a range, with their times, in order.
    pub(crate) fn samples(&self, range: &str) -> Vec<(String, String)> {
        let data = self.data(range);
        let values = data["result"][0]["values"].as_array();
        let values = values.into_iter().flatten();
        let sample = |it: &Value| (it[0].to_string(), it[1].as_str().unwrap().to_owned());
        values.map(sample).collect()
    }

    /// Waits until an expression has a value.
    pub(crate) fn wait_for_any(&self, expression: &str) {
        let started = Instant::now();
        while started.elapsed() < LATE {
            if self.query(expression).is_some() {
                return;
            }
        }
        panic!("{expression} has no value; {:?}", self.scrape_errors());
    }

    /// Why scrapes failed.
    fn scrape_errors(&self) -> Vec<String> {
        let answer = get(self.address, "/api/v1/targets", &[]);
        let answer: Value = serde_json::from_slice(&answer.bytes).unwrap();
        let targets = answer["data"]["activeTargets"].as_array();
        let errors = targets.into_iter().flatten().map(|it| &it["lastError"]);
        errors.map(ToString::to_string).collect()
    }

    /// Waits until an expression has this value.
    pub(crate) fn wait_for(&self, expression: &str, value: &str) {
        let (started, mut last) = (Instant::now(), None);
        while started.elapsed() < LATE {
            last = self.query(expression);
            if last.as_deref() == Some(value) {
                return;
            }
        }
        let errors = self.scrape_errors();
        panic!("{expression} is {last:?}, never {value}; {errors:?}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
