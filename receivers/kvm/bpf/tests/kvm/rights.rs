//! What each right alone gives, and what is said where one is missing.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Command, Output};
use std::sync::LazyLock;

use rustix::io::FdFlags;

use crate::owner::{Owner, has, has_kvm};

/// The program by a descriptor that processes inherit: the folder that it was built in may be root's alone.
fn program() -> String {
    static PROGRAM: LazyLock<File> = LazyLock::new(|| {
        let program = File::open(env!("CARGO_BIN_EXE_kvm-bpf")).unwrap();
        rustix::io::fcntl_setfd(&program, FdFlags::empty()).unwrap();
        program
    });
    format!("/proc/self/fd/{}", PROGRAM.as_raw_fd())
}

fn run(command: &[&str], options: &[&str]) -> Output {
    let mut process = Command::new(command[0]);
    process
        .args(&command[1..])
        .arg(program())
        .args(options)
        .output()
        .unwrap()
}

/// As nobody, with these capabilities and no other one.
fn as_nobody(capabilities: &str, options: &[&str]) -> Output {
    let sets = ["--inh-caps", "--ambient-caps", "--bounding-set"]
        .map(|set| format!("{set}=-all{capabilities}"));
    let mut command = vec![
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    command.extend(sets.iter().map(String::as_str));
    run(&command, options)
}

#[track_caller]
fn assert_sees(output: &Output, line: &str) {
    let (shown, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}");
    assert!(shown.lines().any(|it| it.starts_with(line)), "{shown}");
}

#[track_caller]
fn assert_says(output: &Output, message: &str) {
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim_end(), message);
}

fn has_tools() -> bool {
    let is_there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    has_kvm()
        && has(
            "setpriv and unshare",
            is_there("setpriv") && is_there("unshare"),
        )
}

#[test]
fn nobody_with_two_capabilities_sees_all_and_with_less_is_told_what_is_missing() {
    if !has_tools() {
        return;
    }
    let mut owner = Owner::start();
    let vm = owner.vm("vm 1");
    let line = format!("vcpu 0: process {}, ", vm.pid);
    assert_sees(&as_nobody(",+bpf,+perfmon", &[]), &line);
    assert_sees(&as_nobody(",+sys_admin", &[]), &line);
    let needs = "bpf needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN";
    assert_says(
        &as_nobody(",+bpf", &[]),
        &format!("CAP_PERFMON is missing: {needs}"),
    );
    assert_says(
        &as_nobody(",+perfmon", &[]),
        &format!("CAP_BPF is missing: {needs}"),
    );
    let others = ",+sys_ptrace,+dac_read_search";
    assert_says(
        &as_nobody(others, &[]),
        &format!("CAP_BPF and CAP_PERFMON are missing: {needs}"),
    );
}

#[test]
fn once_it_is_loaded_the_capabilities_can_go() {
    if !has_tools() {
        return;
    }
    let mut owner = Owner::start();
    let vm = owner.vm("vm 1");
    assert_sees(
        &as_nobody(",+bpf,+perfmon", &["--drop"]),
        &format!("vcpu 0: process {}, ", vm.pid),
    );
    assert!(
        kvm_bpf::KvmIterator::load()
            .unwrap()
            .reads_without_capabilities()
    );
}

#[test]
fn in_a_namespace_of_its_own_it_says_so() {
    if !has_tools() {
        return;
    }
    assert_says(
        &run(&["unshare", "--pid", "--fork"], &[]),
        "the process is in a pid namespace of its own, from which the host's VMs are not seen: give it the host's (hostPID: true, --pid=host)",
    );
    assert_says(
        &run(&["unshare", "--user", "--map-root-user"], &[]),
        "the process is in a user namespace of its own, in which the kernel refuses bpf(2): run it in the host's",
    );
}

#[test]
fn under_seccomp_it_says_so() {
    if !has_tools() {
        return;
    }
    let filter = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/without_bpf.py");
    assert_says(
        &run(&["python3", filter], &[]),
        "a seccomp filter refuses bpf(2): allow that system call (systemd: SystemCallFilter=bpf, containers: a seccomp profile)",
    );
}

#[test]
fn loading_leaves_little_and_takes_little() {
    if !has_tools() {
        return;
    }
    let output = run(&["env"], &["--memory"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    let peak = shown
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    // All of a debug build, which has 2,000 of them before.
    assert!(kilobytes < 6_000, "{shown}");
}
