//! A disk that fails, or does not answer: system calls that strace makes fail, or delays.

use std::io::BufReader;
use std::process::{Child, ChildStderr, Command};

use rustix::process::{Pid, Signal, kill_process};

use super::{Setting, ended_by_term, log_until, stderr};
use crate::common::peer::assert_accounted;
use crate::common::{BINARY, assert_fault, count, has_program, lacks, memory_of, signal, spawn};

/// The program under strace (as its grandchild: the child is the program), which does this to one kind of system call.
fn start(config: &str, call: &str, fault: &str) -> Child {
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--seccomp-bpf", "--daemonize"]);
    command.args(["--quiet=attach,personality", "--output=/dev/null"]);
    command.arg(format!("--trace={call}"));
    command.arg(format!("--inject={call}:{fault}"));
    command.args([BINARY, "--config", "-"]);
    spawn(command, config)
}

/// Waits until the disk has failed and works again, with a peer that comes back then: told once, nothing is lost, all comes in
/// order. The log of the end.
pub(super) fn assert_recovers(
    setting: &Setting,
    mut child: Child,
    mut log: BufReader<ChildStderr>,
) -> String {
    log_until(&mut log, "the queue can be written to the disk again");
    let _server = setting.serve();
    let arrived = setting.arrived().len();
    while setting.arrived().len() < arrived + 100 {
        std::thread::yield_now();
    }
    let rest = ended_by_term(&child, &mut log);
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(!rest.contains("cannot be written"), "once: {rest}");
    assert!(
        setting.arrived().is_sorted_by(|a, b| a < b),
        "in order, and once"
    );
    assert_accounted(&rest);
    assert_eq!(count(&rest, "points_dropped"), 0, "{rest}");
    rest
}

#[test]
fn a_disk_that_fails_is_told_once_nothing_is_lost_and_it_goes_on_when_it_works() {
    if !has_program("strace") {
        let test = "a_disk_that_fails_is_told_once_nothing_is_lost_and_it_goes_on_when_it_works";
        return lacks(test, "strace");
    }
    // Calls of the thread of the queue.
    for (call, fsync) in [
        ("pwrite64", "interval"),
        ("fdatasync", "each"),
        ("fdatasync", "interval"),
    ] {
        let setting = Setting::new();
        let config = setting.config(&format!("fsync: {fsync}"));
        let first = if fsync == "each" || call == "pwrite64" {
            20
        } else {
            1
        };
        let fault = format!("error=EIO:when={first}..{}", first + 40);
        let mut child = start(&config, call, &fault);
        let mut log = stderr(&mut child);
        let lines = log_until(&mut log, "the queue cannot be written to the disk");
        let told = lines.last().unwrap();
        assert!(told.contains("Input/output error"), "{told}");
        let rest = assert_recovers(&setting, child, log);
        assert_fault(
            "the disk of the queue fails for a while (EIO)",
            "nothing that has room in memory meanwhile",
            &rest,
            &[],
        );
    }
}

#[test]
fn a_disk_that_does_not_answer_holds_nobody_up() {
    if !has_program("strace") {
        let test = "a_disk_that_does_not_answer_holds_nobody_up";
        return lacks(test, "strace");
    }
    let setting = Setting::new();
    let _server = setting.serve();
    let config = setting.config("fsync: each");
    // No request counts as stored before the test is over.
    let mut child = start(&config, "fdatasync", "delay_exit=600000000");
    let mut log = stderr(&mut child);
    log_until(&mut log, "the disk is slow");
    let arrived = setting.arrived().len();
    while setting.arrived().len() < arrived + 300 {
        std::thread::yield_now();
    }
    let strace = memory_of(&child, "TracerPid:");
    signal(&child, Signal::TERM);
    let rest = log_until(&mut log, " summary: ").concat();
    // It would wait for the end of the delay.
    let strace = Pid::from_raw(strace.try_into().unwrap()).unwrap();
    kill_process(strace, Signal::KILL).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    let arrived = setting.arrived();
    assert!(arrived.is_sorted_by(|a, b| a < b), "in order, and once");
    assert_eq!(count(&rest, "points_sent"), arrived.len() as u64, "{rest}");
    assert_eq!(count(&rest, "points_queued"), 0, "{rest}");
    assert_accounted(&rest);
    assert_fault(
        "the disk of the queue does not answer",
        "nothing: what comes goes on from memory",
        &rest,
        &[],
    );
}
