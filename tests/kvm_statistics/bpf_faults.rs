//! What keeps the source `bpf` from giving anything, or makes it stop: it is said, and the other sources go on.

use std::io::BufReader;
use std::process::{Child, Command};

use super::needs::{kvm, kvm_and};
use super::shown::AllShown;
use super::vmm::Vmm;
use super::{config, exits, once_by};
use crate::common::{
    BINARY, assert_fault, collector, count, end, lines_until, memory_of, read_until, repository,
    signal, spawn,
};

const NOT_LOADED: &str = "statistics cannot be had by bpf; the other sources go on";
const TYPES: &str = "/sys/kernel/btf/vmlinux";
const BOTH: &str = "{optional: true, sources: [bpf, stats_fd]}";

/// The program, after these commands of a shell in a mount namespace of its own.
fn after(commands: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("{commands}\nexec \"$0\" \"$@\"");
    command.args(["--mount", "sh", "-ec", &script, BINARY]);
    command
}

/// The kernel's type information with one thing changed.
fn changed_types(change: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut python = Command::new("python3");
    python.arg(repository("tests/kvm_statistics/btf.py"));
    python
        .args(change.split(' '))
        .stdout(file.reopen().unwrap());
    assert!(python.status().unwrap().success());
    file
}

/// The program that finds this in the place of the kernel's type information.
fn with_types(file: &tempfile::NamedTempFile) -> Command {
    let path = file.path().display();
    after(&format!("mount --bind {path} {TYPES}"))
}

/// Whether something of the VM or its vCPU is shown.
fn is_seen(shown: &AllShown, vm: &str, part: &str) -> bool {
    shown.keys().any(|it| it.0 == vm && it.1 == part)
}

#[test]
fn what_forbids_bpf_is_said_once_and_descriptors_are_read_all_the_same() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a')");
    let lockdown = "mount -t tmpfs none /sys/kernel/security\n\
        echo 'none integrity [confidentiality]' >/sys/kernel/security/lockdown";
    let mut seccomp = Command::new("python3");
    seccomp.arg(repository("receivers/kvm/bpf/tests/without_bpf.py"));
    seccomp.arg(BINARY);
    for (command, why) in [
        (after(lockdown), "\\\"integrity\\\" allows it"),
        (seccomp, "a seccomp filter refuses bpf(2)"),
    ] {
        let (shown, stderr) = once_by(command, BOTH);
        assert!(is_seen(&shown, &vm, "vcpu0"), "{stderr}");
        assert!(!is_seen(&shown, &vm, "vm"), "{stderr}");
        assert_eq!(stderr.matches(NOT_LOADED).count(), 1, "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[test]
fn in_a_pid_namespace_in_which_no_vm_is_that_is_said() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    vmm.vm("vm('a')");
    let why = "the process is in a pid namespace of its own, from which the host's VMs are not seen: give it the host's (hostPID: true, --pid=host)";
    let of_host = "/proc is that of other processes than this one's";
    for has_own_proc in [true, false] {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork"]);
        command.args(has_own_proc.then_some("--mount-proc"));
        command.arg(BINARY);
        let (shown, stderr) = once_by(command, BOTH);
        assert!(shown.is_empty(), "{shown:?}");
        assert_eq!(stderr.matches(why).count(), 1, "{stderr}");
        assert_eq!(stderr.contains(of_host), !has_own_proc, "{stderr}");
        assert!(stderr.contains("VMs (none is seen)"), "{stderr}");
    }
}

#[test]
fn kvm_that_is_loaded_later_is_found_at_a_rescan() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1, keep=False)");
    let without_kvm = changed_types("rename kvm_vcpu kvm_vcpx");
    let mut command = with_types(&without_kvm);
    command.args(["--config", "-"]);
    let receiver = "{collection_interval: 20ms, rescan_interval: 100ms, sources: [bpf]}";
    let mut child = spawn(command, &config(receiver, "{}"));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let said = lines_until(&mut stderr, |line| line.contains(NOT_LOADED));
    let why = "KVM is not loaded (modprobe kvm), or has no BTF";
    assert!(said.last().unwrap().contains(why), "{said:?}");
    // The kernel's own again, as when the module comes.
    let mut unmount = Command::new("nsenter");
    unmount.args(["--mount", "--target", &child.id().to_string()]);
    let unmounted = unmount.args(["umount", "--lazy", TYPES]).status();
    assert!(unmounted.unwrap().success());
    read_until(&mut child, |line| line.starts_with(&exits(&vm, 0)));
    signal(&child, rustix::process::Signal::TERM);
    let rest = lines_until(&mut stderr, |line| line.contains("summary"));
    assert!(!rest.iter().any(|it| it.contains(NOT_LOADED)), "{rest:?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_lies_elsewhere_than_the_types_say_gives_nothing_and_that_is_said() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 2)");
    for (change, why) in [
        (
            "move kvm_vcpu stat 8",
            "the vCPU of one's own has other statistics",
        ),
        (
            "move kvm_vcpu stat -1120",
            "the vCPU of one's own has other statistics",
        ),
        (
            "move kvm stat 64",
            "the VM of one's own has other statistics",
        ),
        ("move kvm_vcpu vcpu_id 8", "reads as vCPU "),
        ("move kvm_vcpu kvm 8", "no vCPU leads to a VM that is there"),
    ] {
        let types = changed_types(change);
        let by_bpf = once_by(with_types(&types), "{optional: true, sources: [bpf]}");
        assert!(by_bpf.0.is_empty(), "{change}: {by_bpf:?}");
        assert!(by_bpf.1.contains(why), "{change}: {}", by_bpf.1);
        let (shown, stderr) = once_by(with_types(&types), BOTH);
        let owner = vmm.all("a");
        for part in ["vcpu0", "vcpu1"] {
            super::assert_equal(&shown, &vm, part, &owner[part]);
        }
        assert!(!is_seen(&shown, &vm, "vm"), "{change}: {stderr}");
    }
}

/// The program under strace (as its grandchild: the child is the program), which makes system calls fail.
fn with_faults(faults: &[&str], receiver: &str) -> Child {
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--daemonize", "--output=/dev/null"]);
    command.args(faults).args([BINARY, "--config", "-"]);
    spawn(command, &config(receiver, "{}"))
}

#[test]
fn passes_that_fail_cost_their_values_and_the_other_sources_go_on() {
    let Some(_kvm) = kvm_and(&["strace"]) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1)");
    let of_vcpu = exits(&vm, 0);
    let of_vm = format!("kvm/remote_tlb_flush{{vm={vm}}} ");
    // The calls of the thread that sweeps: two that load, three passes at the first look, then one a sweep.
    let faults = ["--inject=bpf:error=EPERM:when=8..12"];
    let receiver = "{collection_interval: 20ms, rescan_interval: 1h, sources: [bpf, stats_fd]}";
    let mut child = with_faults(&faults, receiver);
    let mut has_ended = false;
    let lines = read_until(&mut child, |line| {
        let is_of_vm = line.starts_with(&of_vm);
        has_ended |= is_of_vm && line.contains("} end ");
        is_of_vm && has_ended && !line.contains("} end ")
    });
    // No other source has the VM's own; its vCPU's go on by descriptors.
    let of_vcpu = lines.iter().filter(|it| it.starts_with(&of_vcpu));
    assert!(
        !of_vcpu.clone().any(|it| it.contains("} end ")),
        "{lines:#?}"
    );
    assert!(of_vcpu.count() > 3, "{lines:#?}");
    let logs = end(child);
    assert_eq!(logs.matches("a pass by bpf gave nothing").count(), 1);
    assert_eq!(count(&logs, "bpf_passes_failed"), 5, "{logs}");
    assert_fault(
        "a pass by BPF fails (source `bpf` of `kvm`)",
        "its values of that sweep; after two in a row what no other source gives, until one succeeds: the series end, and begin again",
        &logs,
        &["bpf_passes_failed=5"],
    );
}

#[test]
fn a_pass_that_is_told_to_ask_again_in_its_middle_is_whole() {
    let Some(_kvm) = kvm_and(&["strace"]) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 3, keep=False)");
    let mut command = Command::new("strace");
    command.args([
        "--follow-forks",
        "--quiet=attach,personality,path-resolution",
    ]);
    command.args(["--output=/dev/null", "--trace-path=anon_inode:bpf_iter"]);
    // The first, the third, …: a million files without a VM before them.
    command.args(["--inject=read:error=EAGAIN:when=1+2", BINARY]);
    let (shown, stderr) = once_by(command, "{sources: [bpf]}");
    for (part, owner) in &vmm.all("a") {
        super::assert_equal(&shown, &vm, part, owner);
    }
    assert!(!stderr.contains("by bpf"), "{stderr}");
}

#[test]
fn what_loading_takes_does_not_stay() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a')");
    // Anonymous memory, and the most that was resident beyond what is at rest, in KiB.
    let [without, with] = ["[stats_fd]", "[stats_fd, bpf]"].map(|sources| {
        let receiver = format!("{{collection_interval: 20ms, sources: {sources}}}");
        let mut child = collector(&config(&receiver, "{}"), &[]);
        let mut sweeps = 0;
        read_until(&mut child, |line| {
            sweeps += usize::from(line.starts_with(&exits(&vm, 0)));
            sweeps == 20
        });
        let [anonymous, rest, peak] =
            ["RssAnon:", "VmRSS:", "VmHWM:"].map(|key| memory_of(&child, key));
        end(child);
        (anonymous, peak - rest)
    });
    assert!(with.0 < without.0 + 1_024, "{without:?} {with:?}");
    assert!(with.1 < without.1 + 1_024, "{without:?} {with:?}");
}
