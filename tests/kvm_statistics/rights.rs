//! What is seen with which rights, and what is said.

use super::needs::{TwoUsers, kvm};
use super::{once_by, shown::AllShown};

const DESCRIPTORS: &str = "{sources: [stats_fd]}";

#[test]
fn what_is_seen_depends_on_rights_and_what_is_not_is_said_and_never_zero() {
    let Some(_kvm) = kvm() else { return };
    let Some(users) = TwoUsers::start() else {
        return;
    };
    // Whether that of root, and that of nobody, is seen; there may be others on this host.
    let seen = |shown: &AllShown| {
        let is_seen = |vm: &String| shown.keys().any(|it| it.0 == *vm);
        [is_seen(&users.of_root), is_seen(&users.of_user)]
    };

    let (shown, stderr) = once_by(users.as_user(65_534, ""), DESCRIPTORS);
    assert_eq!(seen(&shown), [false, true], "its own user's");
    let message = "processes that may not be looked at";
    assert_eq!(stderr.matches(message).count(), 1, "{stderr}");
    assert!(
        stderr.contains("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
        "{stderr}"
    );

    let with_two = users.as_user(65_534, "+sys_ptrace,+dac_read_search");
    let (shown, stderr) = once_by(with_two, DESCRIPTORS);
    assert_eq!(seen(&shown), [true, true], "{stderr}");
    assert!(!stderr.contains("may not be looked at"), "{stderr}");

    let (shown, stderr) = once_by(users.without("-sys_ptrace"), DESCRIPTORS);
    assert_eq!(seen(&shown), [false, false], "{stderr}");
    let message = "processes may not be looked at; it takes CAP_SYS_PTRACE";
    let is_said = |line: &&str| line.contains("WARN") && line.contains(message);
    assert_eq!(stderr.lines().filter(is_said).count(), 1, "{stderr}");
}

/// What is seen of two VMs, one of root's and one of user 65534's, by all sources.
#[cfg(feature = "bpf")]
#[test]
fn each_right_alone_gives_what_docs_kvm_says_and_the_others_are_named() {
    let Some(_kvm) = kvm() else { return };
    let Some(users) = TwoUsers::start() else {
        return;
    };
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
        let command = users.as_user(user, rights);
        let all = "{optional: true, sources: [stats_fd, bpf, debugfs]}";
        let (shown, stderr) = once_by(command, all);
        let is_seen = |vm: &str, name: &str| shown.keys().any(|it| it.0 == vm && it.2 == name);
        let vms = [&users.of_root, &users.of_user];
        let names = ["exits", "remote_tlb_flush"];
        let found = names
            .iter()
            .flat_map(|name| vms.map(|vm| is_seen(vm, name)));
        let found: Vec<bool> = found.collect();
        assert_eq!(found, seen, "{user} {rights}: {stderr}");
        for text in said {
            assert!(stderr.contains(text), "{user} {rights}: {text}: {stderr}");
        }
        for text in unsaid {
            assert!(!stderr.contains(text), "{user} {rights}: {text}: {stderr}");
        }
    }
}
