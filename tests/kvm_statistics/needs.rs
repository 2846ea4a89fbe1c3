//! What these tests need of the host.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use super::vmm::Vmm;
use crate::common::alone::{KVM, alone};
use crate::common::{as_nobody, has_program, is_root, lacks};
use crate::kvm::host::Debugfs;

/// KVM for this test alone, where monitors can run; `None`, said on standard error, where they cannot.
pub(crate) fn kvm() -> Option<File> {
    kvm_and(&[])
}

/// The same, with programs.
pub(super) fn kvm_and(programs: &[&str]) -> Option<File> {
    let opened = File::options().read(true).write(true).open("/dev/kvm");
    let mut programs = ["python3"].iter().chain(programs);
    if !is_root() || opened.is_err() {
        return left_out("root and /dev/kvm");
    }
    if let Some(program) = programs.find(|it| !has_program(it)) {
        return left_out(program);
    }
    Some(alone(&KVM))
}

/// debugfs; `None`, said on standard error, where it cannot be mounted.
pub(super) fn debugfs() -> Option<Debugfs> {
    Debugfs::mount().or_else(|| left_out("debugfs"))
}

/// Says that the test that runs, which its thread is called by, needs this.
pub(super) fn left_out<T>(what: &str) -> Option<T> {
    lacks(std::thread::current().name().unwrap_or_default(), what);
    None
}

/// A VM of root's and one of user 65534's, and the program where all users may run it.
pub(super) struct TwoUsers {
    pub(super) roots: Vmm,
    pub(super) of_root: String,
    pub(super) of_user: String,
    _users: Vmm,
    directory: tempfile::TempDir,
}

impl TwoUsers {
    /// `None`, said on standard error, where there is no other user.
    pub(super) fn start() -> Option<TwoUsers> {
        let directory = tempfile::tempdir().unwrap();
        as_nobody(std::thread::current().name()?, &directory)?;
        let (mut roots, mut users) = (Vmm::start(&[]), Vmm::start(&[]));
        let (of_root, of_user) = (roots.vm("vm('a')"), users.vm("vm('a')"));
        assert_eq!(users.ask("become(65534)"), 0);
        Some(TwoUsers {
            roots,
            of_root,
            of_user,
            _users: users,
            directory,
        })
    }

    pub(super) fn program(&self) -> PathBuf {
        self.directory.path().join("statsfs-collector")
    }

    /// The program as this user with these capabilities only: `+bpf,+perfmon`; none where it is empty.
    pub(super) fn as_user(&self, user: u32, capabilities: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--clear-groups", "--no-new-privs"]);
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        let all = ["-all", capabilities].join(",");
        let all = all.trim_end_matches(',');
        command.args(["--inh-caps", all, "--ambient-caps", all]);
        command.arg(self.program());
        command
    }

    /// The program as root without these capabilities: `-bpf,-sys_admin`.
    pub(super) fn without(&self, capabilities: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg(format!("--bounding-set={capabilities}"));
        command.arg(format!("--inh-caps={capabilities}"));
        command.arg(self.program());
        command
    }
}
