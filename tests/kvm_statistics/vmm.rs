//! A monitor of virtual machines: a Python program, since Rust has no safe call for what it does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::common::{repository, text};

/// A monitor that runs, and does what it is told.
pub(crate) struct Vmm {
    pub(super) child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a statistic is: `type`, `unit`, `exponent`, and `values`.
pub(super) type Statistics = BTreeMap<String, Value>;

/// The Python that `python3` is.
fn python() -> String {
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    text(&asked.unwrap().stdout).trim().to_owned()
}

impl Vmm {
    /// One with these arguments, none of which it heeds.
    pub(crate) fn start(arguments: &[&str]) -> Vmm {
        Vmm::spawn(&mut Command::new(python()), arguments)
    }

    /// The same with a program's name of its own.
    pub(super) fn named(program: &str, arguments: &[&str]) -> Vmm {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(program);
        std::os::unix::fs::symlink(python(), &path).unwrap();
        Vmm::spawn(&mut Command::new(path), arguments)
    }

    /// The same by another program, which starts Python.
    pub(super) fn by(program: &str, arguments: &[&str]) -> Vmm {
        Vmm::spawn(Command::new(program).args(arguments).arg(python()), &[])
    }

    fn spawn(command: &mut Command, arguments: &[&str]) -> Vmm {
        let mut child = command
            .arg(repository("tests/kvm_statistics/vmm.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        // It has started when it answers: before that its program is another one.
        let mut vmm = Vmm {
            child,
            input,
            output,
        };
        vmm.ask("0");
        vmm
    }

    /// Has it work on an expression, and does not wait for what that gives.
    pub(super) fn tell(&mut self, expression: &str) {
        writeln!(self.input, "{expression}").unwrap();
    }

    /// What an expression gives.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        self.tell(expression);
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Makes a VM by `vm(…)`; the name that the program gives it where it has no other: `1234-12`.
    pub(crate) fn vm(&mut self, expression: &str) -> String {
        let made = self.ask(expression);
        format!("{}-{}", made["pid"], made["fd"])
    }

    /// What it reads of a VM of its own: by `vm`, `vcpu0`, ….
    pub(super) fn all(&mut self, vm: &str) -> BTreeMap<String, Statistics> {
        let all = self.ask(&format!("vms['{vm}'].all()"));
        serde_json::from_value(all).unwrap()
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
