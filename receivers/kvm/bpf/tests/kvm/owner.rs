//! A process that owns VMs: `owner.py`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/owner.py");

/// The values of each statistic by name; under the empty name the bytes of all of them.
pub(crate) type Statistics = BTreeMap<String, Vec<u64>>;

pub(crate) struct Owner {
    pub(crate) process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A VM as its owner knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vm {
    pub(crate) pid: u32,
    pub(crate) fd: u32,
    pub(crate) creator: u32,
}

impl Owner {
    pub(crate) fn start() -> Self {
        Self::start_by(Command::new("python3"))
    }

    /// With the program as the last arguments of a command.
    pub(crate) fn start_by(mut command: Command) -> Self {
        let command = command
            .arg(PROGRAM)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().expect("python3 starts");
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            commands,
            answers,
        }
    }

    pub(crate) fn ask(&mut self, command: &str) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{command}: {answer:?}: {error}"))
    }

    pub(crate) fn vm(&mut self, command: &str) -> Vm {
        let answer = self.ask(command);
        let field = |name: &str| u32::try_from(answer[name].as_u64().unwrap()).unwrap();
        Vm {
            pid: field("pid"),
            fd: field("fd"),
            creator: field("creator"),
        }
    }

    /// The VM's, then those of its vCPUs.
    pub(crate) fn statistics(&mut self, vm: usize) -> Vec<Statistics> {
        let answer = self.ask(&format!("stats {vm}"));
        let vcpus = answer["vcpus"].as_array().unwrap().iter();
        let each = std::iter::once(&answer["vm"]).chain(vcpus);
        each.map(|it| serde_json::from_value(it.clone()).unwrap())
            .collect()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether the host has what the tests need; if not it is said, and is a failure in CI.
pub(crate) fn has_kvm() -> bool {
    let can_open = File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok();
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    has(
        "root, /dev/kvm and python3",
        rustix::process::geteuid().is_root() && can_open && has_python,
    )
}

pub(crate) fn has(what: &str, is_there: bool) -> bool {
    if !is_there {
        eprintln!("not run: it takes {what}");
        assert!(std::env::var_os("CI").is_none(), "CI has {what}");
    }
    is_there
}
