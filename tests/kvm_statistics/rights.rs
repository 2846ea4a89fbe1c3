//! What is seen with which rights, and what is said.

use std::process::Command;

use super::vmm::{Vmm, has_kvm};
use super::{
    config,
    shown::{AllShown, shown},
};
use crate::common::alone::{KVM, alone};
use crate::common::{as_nobody, spawn, text};

/// One sweep by this command.
fn once_by(mut command: Command) -> (AllShown, String) {
    command.args(["--once", "--config", "-"]);
    let config = config("{sources: [stats_fd]}", "{format: json}");
    let output = spawn(command, &config).wait_with_output().unwrap();
    (shown(&output.stdout), text(&output.stderr))
}

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

    let (shown, stderr) = once_by(nobody);
    assert_eq!(seen(&shown), [false, true], "its own user's");
    let message = "processes that may not be looked at";
    assert_eq!(stderr.matches(message).count(), 1, "{stderr}");
    assert!(
        stderr.contains("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
        "{stderr}"
    );

    let mut with_two = Command::new("setpriv");
    let rights = "+sys_ptrace,+dac_read_search";
    with_two.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    with_two.args([
        format!("--inh-caps=-all,{rights}"),
        format!("--ambient-caps={rights}"),
    ]);
    with_two.arg("--no-new-privs");
    with_two.arg(directory.path().join("statsfs-collector"));
    let (shown, stderr) = once_by(with_two);
    assert_eq!(seen(&shown), [true, true], "{stderr}");
    assert!(!stderr.contains("may not be looked at"), "{stderr}");

    let mut without_one = Command::new("setpriv");
    without_one.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
    without_one.arg(directory.path().join("statsfs-collector"));
    let (shown, stderr) = once_by(without_one);
    assert_eq!(seen(&shown), [false, false], "{stderr}");
    let message = "processes may not be looked at; it takes CAP_SYS_PTRACE";
    let is_said = |line: &&str| line.contains("WARN") && line.contains(message);
    assert_eq!(stderr.lines().filter(is_said).count(), 1, "{stderr}");
}
