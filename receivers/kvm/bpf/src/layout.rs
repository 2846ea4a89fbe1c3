//! What the program has to be told of the running kernel, and what its statistics are called.

use crate::LoadError;
use crate::btf::{Btf, Named, Statistic};

/// As the program's source has it.
pub(crate) const MAX_STAT: u32 = 8192;

/// The function of the kernel whose calls the program is.
const FUNCTION: Named<'_> = Named::Function("bpf_iter_task_file");

/// Struct, and path in it, in the order of the program's constants. Those after them are the sizes of both statistics, and
/// the loader's secret.
const MEMBERS: [(&str, &str); 15] = [
    ("task_struct", "tgid"),
    ("task_struct", "group_leader"),
    ("task_struct", "start_boottime"),
    ("file", "f_inode"),
    ("file", "f_path.dentry"),
    ("file", "private_data"),
    ("inode", "i_sb"),
    ("super_block", "s_magic"),
    ("dentry", "d_name.name"),
    ("kvm", STAT),
    ("kvm", "userspace_pid"),
    ("kvm", "debugfs_dentry"),
    ("kvm_vcpu", "kvm"),
    ("kvm_vcpu", "vcpu_id"),
    ("kvm_vcpu", STAT),
];
const STAT: &str = "stat";
/// How many the layout gives.
pub(crate) const CONSTANTS: usize = MEMBERS.len() + 2;

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
    /// The number of the kernel's function in its BTF.
    pub(crate) function: u32,
    /// The program's, by their numbers.
    pub(crate) constants: [u64; CONSTANTS],
    pub(crate) vm: Statistics,
    pub(crate) vcpu: Statistics,
}

/// What the type information is searched for.
pub(crate) fn wanted() -> Vec<Named<'static>> {
    let mut wanted = vec![FUNCTION];
    for (structure, _) in MEMBERS {
        if !wanted.contains(&Named::Struct(structure)) {
            wanted.push(Named::Struct(structure));
        }
    }
    wanted
}

impl Layout {
    pub(crate) fn new(btf: &Btf<'_>) -> Result<Self, LoadError> {
        let function = btf.id(FUNCTION).ok_or(LoadError::NoIterator)?;
        btf.id(Named::Struct("kvm_vcpu")).ok_or(LoadError::NoKvm)?;
        let (vm, vcpu) = (statistics(btf, "kvm")?, statistics(btf, "kvm_vcpu")?);
        let mut constants = [0; CONSTANTS];
        for (constant, (structure, path)) in constants.iter_mut().zip(MEMBERS) {
            let member = btf.member(structure, path);
            let member = member.ok_or(LoadError::NoMember { structure, path })?;
            *constant = u64::from(member.offset);
        }
        constants[MEMBERS.len()..].copy_from_slice(&[vm.bytes, vcpu.bytes].map(u64::from));
        Ok(Self {
            function,
            constants,
            vm,
            vcpu,
        })
    }

    pub(crate) fn statistics(&self, level: Level) -> &Statistics {
        match level {
            Level::Vm => &self.vm,
            Level::Vcpu => &self.vcpu,
        }
    }
}

fn statistics(btf: &Btf<'_>, structure: &'static str) -> Result<Statistics, LoadError> {
    let stat = btf.member(structure, STAT);
    let stat = stat.ok_or(LoadError::NoMember {
        structure,
        path: STAT,
    })?;
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
