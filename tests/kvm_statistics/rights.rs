//! What is seen with which rights, and what is said.

use std::process::Command;

use super::vmm::{Vmm, has_kvm};
use super::{as_user, once_by, shown::AllShown};
use crate::common::alone::{KVM, alone};
use crate::common::as_nobody;

const DESCRIPTORS: &str = "{sources: [stats_fd]}";

#[test]
fn what_is_seen_depends_on_rights_and_what_is_not_is_said_and_never_zero() {
    let _kvm = alone(&KVM);
    let test = "what_is_seen_depends_on_rights_and_what_is_not_is_said_and_never_zero";
    let directory = tempfile::tempdir().unwrap();
    if !has_kvm(test) {
        return;
    }
    let Some(nobody) = as_nobody(test, &directory) else {
        return;
    };
    let mut roots = Vmm::start(&[]);
    let of_root = roots.vm("vm('a')");
    let mut nobodys = Vmm::start(&[]);
    let of_nobody = nobodys.vm("vm('a')");
    assert_eq!(nobodys.ask("become(65534)"), 0);
    // Whether that of root, and that of nobody, is seen; there may be others on this host.
    let seen = |shown: &AllShown| {
        let is_seen = |vm: &String| shown.keys().any(|it| it.0 == *vm);
        [is_seen(&of_root), is_seen(&of_nobody)]
    };

    let (shown, stderr) = once_by(nobody, DESCRIPTORS);
    assert_eq!(seen(&shown), [false, true], "its own user's");
    let message = "processes that may not be looked at";
    assert_eq!(stderr.matches(message).count(), 1, "{stderr}");
    assert!(
        stderr.contains("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
        "{stderr}"
    );

    let program = directory.path().join("statsfs-collector");
    let mut with_two = as_user(65_534, "+sys_ptrace,+dac_read_search");
    with_two.arg(&program);
    let (shown, stderr) = once_by(with_two, DESCRIPTORS);
    assert_eq!(seen(&shown), [true, true], "{stderr}");
    assert!(!stderr.contains("may not be looked at"), "{stderr}");

    let mut without_one = Command::new("setpriv");
    without_one.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
    without_one.arg(&program);
    let (shown, stderr) = once_by(without_one, DESCRIPTORS);
    assert_eq!(seen(&shown), [false, false], "{stderr}");
    let message = "processes may not be looked at; it takes CAP_SYS_PTRACE";
    let is_said = |line: &&str| line.contains("WARN") && line.contains(message);
    assert_eq!(stderr.lines().filter(is_said).count(), 1, "{stderr}");
}

/// What is seen of two VMs, one of root's and one of user 65534's, by all sources.
#[cfg(feature = "bpf")]
#[test]
fn each_right_alone_gives_what_docs_kvm_says_and_the_others_are_named() {
    const TEST: &str = "each_right_alone_gives_what_docs_kvm_says_and_the_others_are_named";
    let _kvm = alone(&KVM);
    let directory = tempfile::tempdir().unwrap();
    if !has_kvm(TEST) || as_nobody(TEST, &directory).is_none() {
        return;
    }
    let mut roots = Vmm::start(&[]);
    let of_root = roots.vm("vm('a')");
    let mut users = Vmm::start(&[]);
    let of_user = users.vm("vm('a')");
    assert_eq!(users.ask("become(65534)"), 0);
    let two_processes = "it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";
    let two_for_bpf = "CAP_BPF and CAP_PERFMON are missing";
    let untyped = "statistics whose types the kernel does not tell";
    for (user, rights, seen, said, unsaid) in [
        // Who, with what, sees what of root's VM and of the user's: their vCPUs, and the VMs themselves.
        (
            65_534,
            "+bpf,+perfmon",
            [true; 4],
            &[untyped][..],
            &[two_processes, two_for_bpf][..],
        ),
        (
            65_534,
            "+sys_admin",
            [true; 4],
            &[untyped],
            &[two_processes, two_for_bpf],
        ),
        (
            65_534,
            "+sys_ptrace,+dac_read_search",
            [true, true, false, false],
            &[two_for_bpf],
            &[two_processes, untyped],
        ),
        (
            65_534,
            "",
            [false, true, false, false],
            &[two_for_bpf, two_processes],
            &[untyped],
        ),
        (
            65_533,
            "",
            [false; 4],
            &[two_for_bpf, two_processes],
            &[untyped],
        ),
        (
            65_533,
            "+bpf",
            [false; 4],
            &["CAP_PERFMON is missing"],
            &[untyped],
        ),
        (
            65_533,
            "+sys_ptrace",
            [false; 4],
            &[two_processes],
            &[untyped],
        ),
    ] {
        let mut command = as_user(user, rights);
        command.arg(directory.path().join("statsfs-collector"));
        let all = "{optional: true, sources: [stats_fd, bpf, debugfs]}";
        let (shown, stderr) = once_by(command, all);
        let is_seen = |vm: &str, name: &str| shown.keys().any(|it| it.0 == vm && it.2 == name);
        let found = [(&of_root, "exits"), (&of_user, "exits")];
        let own = [
            (&of_root, "remote_tlb_flush"),
            (&of_user, "remote_tlb_flush"),
        ];
        let found = [found, own].concat();
        let found: Vec<bool> = found.iter().map(|(vm, name)| is_seen(vm, name)).collect();
        assert_eq!(found, seen, "{user} {rights}: {stderr}");
        for text in said {
            assert!(stderr.contains(text), "{user} {rights}: {text}: {stderr}");
        }
        for text in unsaid {
            assert!(!stderr.contains(text), "{user} {rights}: {text}: {stderr}");
        }
    }
}
