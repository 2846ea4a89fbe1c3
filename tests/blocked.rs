//! A component that blocks its thread holds up its pipeline, but not the end of the program; the health check says so, and
//! the service manager gets no sign of life any more.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[allow(dead_code, unused_imports)] // what other tests use
mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, ExitCode, Stdio};

use pipeline::{Batch, Component, Context, Demand, Outbox, Processor, Result, schemars, serde};
use rustix::process::{Pid, Signal, kill_process};

use common::assert_fault;

/// Set where this is the program.
const PROGRAM: &str = "BLOCKED_IS_THE_PROGRAM";

/// A processor that never comes back.
#[derive(Debug)]
struct Block;

/// It has no keys.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde")]
#[schemars(crate = "pipeline::schemars")]
struct Config {}

pipeline::register! { processor Block }

impl Component for Block {
    const TYPE: &'static str = "block";
    type Config = Config;

    fn build(_: Config, _: &Context) -> Result<Block> {
        Ok(Block)
    }
}

impl Processor for Block {
    fn process(&mut self, _: Batch, _: &mut Outbox) -> Result<()> {
        eprintln!("blocked");
        loop {
            std::thread::park();
        }
    }

    fn demand(&self, below: Demand) -> Demand {
        below
    }
}

fn receive(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = manager.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn main() -> ExitCode {
    if std::env::var_os(PROGRAM).is_some() {
        return statsfs_collector::main(statsfs_collector::BUILD_INFO);
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("s")).unwrap();
    std::fs::write(directory.path().join("s/one"), "1\n").unwrap();
    let socket = directory.path().join("health.sock");
    let config = format!(
        "receivers: {{statsfs: {{root: '{}'}}}}\nprocessors: {{block: {{}}}}\nexporters: {{stdout: {{}}}}\n\
         extensions: {{health_check: {{endpoint: 'unix:{}'}}}}\n\
         service: {{extensions: [health_check], shutdown_timeout: 1ms, pipelines: {{metrics: {{receivers: [statsfs], processors: [block], exporters: [stdout]}}}}}}\n",
        directory.path().display(),
        socket.display()
    );
    let manager = directory.path().join("notify.sock");
    let notify_socket = manager.clone();
    let manager = UnixDatagram::bind(manager).unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, config).unwrap();
    // It passes signals on, and ends what does not.
    let mut program = Command::new("timeout");
    program.args(["--signal=KILL", "120"]);
    program.arg(std::env::current_exe().unwrap());
    program.env(PROGRAM, "1").arg("--config").arg(path);
    program.env("NOTIFY_SOCKET", notify_socket);
    program.env("WATCHDOG_USEC", "1000000");
    let mut program = program.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(program.stderr.take().unwrap()).lines();
    assert!(
        stderr.by_ref().any(|line| line.unwrap() == "blocked"),
        "it never came to the processor"
    );
    let warning =
        "something blocks a thread; if that lasts, the service manager's watchdog ends the program";
    assert!(stderr.by_ref().any(|line| line.unwrap().contains(warning)));
    while receive(&manager) != "STATUS=the pipeline thread does nothing new for 250ms" {}
    for question in [&["health", "--live"][..], &["health"]] {
        let mut health = Command::new(std::env::current_exe().unwrap());
        health.env(PROGRAM, "1").args(question);
        let endpoint = format!("unix:{}", socket.display());
        let output = health.args(["--endpoint", &endpoint]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains("the pipeline thread does nothing new for 5s"),
            "{said}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
    manager.set_nonblocking(true).unwrap();
    let mut buffer = [0; 100];
    assert!(manager.recv(&mut buffer).is_err(), "ten seconds are over");
    manager.set_nonblocking(false).unwrap();
    assert_fault(
        "a component blocks its thread, and a service manager watches (`WatchdogSec`)",
        "what is in its pipeline: the manager gets no sign of life, ends the program and starts it anew",
        "",
        &["nobody is there to count; the program that is started next begins at 0"],
    );
    kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
    assert!(receive(&manager).starts_with("STOPPING=1"));
    let rest: Vec<String> = stderr.map(std::result::Result::unwrap).collect();
    assert_eq!(program.wait().unwrap().code(), Some(0), "{rest:?}");
    println!("a component that blocks ... ended on SIGTERM");
    ExitCode::SUCCESS
}
