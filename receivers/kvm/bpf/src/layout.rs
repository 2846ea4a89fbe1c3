//! What the program has to be told of the running kernel, and what its statistics are called.

use crate::LoadError;
use crate::btf::{Btf, Statistic};

/// As the program's source has it.
pub(crate) const MAX_STAT: u32 = 8192;

/// Name in the program, struct, path in it.
const MEMBERS: [(&str, &str, &str); 15] = [
    ("task_tgid", "task_struct", "tgid"),
    ("task_leader", "task_struct", "group_leader"),
    ("task_start", "task_struct", "start_boottime"),
    ("file_inode", "file", "f_inode"),
    ("file_dentry", "file", "f_path.dentry"),
    ("file_private", "file", "private_data"),
    ("inode_super", "inode", "i_sb"),
    ("super_magic", "super_block", "s_magic"),
    ("dentry_name", "dentry", "d_name.name"),
    (VM_STAT, "kvm", "stat"),
    ("vm_creator", "kvm", "userspace_pid"),
    ("vm_debugfs", "kvm", "debugfs_dentry"),
    ("vcpu_vm", "kvm_vcpu", "kvm"),
    ("vcpu_id", "kvm_vcpu", "vcpu_id"),
    (VCPU_STAT, "kvm_vcpu", "stat"),
];
const VM_STAT: &str = "vm_stat";
const VCPU_STAT: &str = "vcpu_stat";

/// Of what the statistics are: a VM has its own, and each of its vCPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `struct kvm_vm_stat`.
    Vm,
    /// `struct kvm_vcpu_stat`.
    Vcpu,
}

/// The statistics of one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) list: Vec<Statistic>,
    /// Of all of them.
    pub(crate) bytes: u32,
}

/// Where everything lies in the running kernel.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The program's constants.
    pub(crate) globals: Vec<(&'static str, u32)>,
    pub(crate) vm: Statistics,
    pub(crate) vcpu: Statistics,
}

impl Layout {
    pub(crate) fn new(btf: &Btf<'_>) -> Result<Self, LoadError> {
        if !btf.has_struct("kvm_vcpu") {
            return Err(LoadError::NoKvm);
        }
        let mut globals = Vec::with_capacity(MEMBERS.len() + 2);
        for (name, structure, path) in MEMBERS {
            let member = btf
                .member(structure, path)
                .ok_or(LoadError::NoMember { structure, path })?;
            globals.push((name, member.offset));
        }
        let (vm, vcpu) = (statistics(btf, "kvm")?, statistics(btf, "kvm_vcpu")?);
        globals.extend([("vm_stat_size", vm.bytes), ("vcpu_stat_size", vcpu.bytes)]);
        Ok(Self { globals, vm, vcpu })
    }

    pub(crate) fn statistics(&self, level: Level) -> &Statistics {
        match level {
            Level::Vm => &self.vm,
            Level::Vcpu => &self.vcpu,
        }
    }
}

fn statistics(btf: &Btf<'_>, structure: &'static str) -> Result<Statistics, LoadError> {
    let path = "stat";
    let stat = btf
        .member(structure, path)
        .ok_or(LoadError::NoMember { structure, path })?;
    let list = btf.counters(stat);
    if stat.size > MAX_STAT || !stat.size.is_multiple_of(8) || list.is_empty() {
        return Err(LoadError::Unreadable {
            structure,
            bytes: stat.size,
        });
    }
    Ok(Statistics {
        list,
        bytes: stat.size,
    })
}
