//! The host's KVM and debugfs, and what they call a VM.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;

use kvm_ioctls::{Kvm, VmFd};

use crate::common::{is_root, lacks};

/// debugfs, mounted for the test where it is not yet.
pub(crate) struct Debugfs(pub(crate) PathBuf, Option<tempfile::TempDir>);

impl Debugfs {
    pub(crate) fn mount() -> Option<Debugfs> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        if let Some(mount) = mounts.lines().find(|line| line.contains(" - debugfs ")) {
            return Some(Debugfs(mount.split(' ').nth(4).unwrap().into(), None));
        }
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "debugfs", "none"])
            .arg(directory.path())
            .status();
        mounted
            .is_ok_and(|it| it.success())
            .then(|| Debugfs(directory.path().to_owned(), Some(directory)))
    }
}

impl Drop for Debugfs {
    fn drop(&mut self) {
        if self.1.is_some() {
            let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        }
    }
}

/// What the tests need; `None`, reported on standard error, where it is not there.
pub(crate) fn kvm(test: &str) -> Option<(Kvm, Debugfs)> {
    let has_kvm = is_root()
        && File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok();
    let kvm_and_debugfs = has_kvm
        .then(|| Some((Kvm::new().ok()?, Debugfs::mount()?)))
        .flatten();
    if kvm_and_debugfs.is_none() {
        lacks(test, "root, /dev/kvm and debugfs");
    }
    kvm_and_debugfs
}

/// The thread that made the VM: what KVM calls the pid is that one's.
pub(crate) fn maker() -> String {
    let thread = fs::read_link("/proc/thread-self").unwrap();
    thread.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The VM's directory below `kvm/`.
pub(crate) fn name(vm: &VmFd) -> String {
    format!("{}-{}", maker(), vm.as_raw_fd())
}
