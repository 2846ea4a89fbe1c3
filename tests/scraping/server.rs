//! A real Prometheus.

use std::net::SocketAddr;
use std::process::{Child, Command};

use serde_json::Value;

use super::http::get;
use crate::common::{free_address, has_program, lacks, spawn};

pub(super) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// One that scrapes this address each second; `None`, reported on standard error, where there is none to be had.
    pub(super) fn start(test: &str, target: SocketAddr) -> Option<Prometheus> {
        if !has_program("prometheus") {
            lacks(test, "Debian's package prometheus");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: host\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
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

    /// The value of an expression that has one.
    pub(super) fn query(&self, expression: &str) -> Option<String> {
        let encoded = expression.bytes().map(|byte| format!("%{byte:02x}"));
        let encoded = encoded.collect::<Vec<_>>().concat();
        let answer = get(self.address, &format!("/api/v1/query?query={encoded}"), &[]);
        let answer: Value = serde_json::from_slice(&answer.bytes).ok()?;
        let value = &answer["data"]["result"][0]["value"][1];
        value.as_str().map(Into::into)
    }

    /// Waits until an expression has this value.
    pub(super) fn wait_for(&self, expression: &str, value: &str) {
        // The program that it scrapes is killed after two minutes.
        let mut last = None;
        for _ in 0..100_000 {
            last = self.query(expression);
            if last.as_deref() == Some(value) {
                return;
            }
        }
        panic!("{expression} is {last:?}, never {value}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
