//! What the program has to be told of the running kernel, and what its statistics are called.

use kvm_stats::Level;

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
pub(crate) fn type_names() -> Vec<Named<'static>> {
    let mut names = vec![FUNCTION];
    for (structure, _) in MEMBERS {
        if !names.contains(&Named::Struct(structure)) {
            names.push(Named::Struct(structure));
        }
    }
    names
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::kind;
    use crate::btf::tests::File;

    /// The structs of the kernel that have nothing to do with KVM, each of them 64 bytes, and the function.
    fn kernel() -> File {
        let mut file = File::kernel();
        file.add("u64", kind::INT, 0, 8, &[64]);
        let path = file.structure(kind::STRUCT, "path", 16, &[("mnt", 1, 0), ("dentry", 1, 8)]);
        let name = file.structure(kind::STRUCT, "qstr", 16, &[("hash", 1, 0), ("name", 1, 8)]);
        file.structure(
            kind::STRUCT,
            "file",
            64,
            &[
                ("f_inode", 1, 8),
                ("f_path", path, 16),
                ("private_data", 1, 32),
            ],
        );
        let task = [
            ("tgid", 1, 8),
            ("group_leader", 1, 16),
            ("start_boottime", 1, 24),
        ];
        file.structure(kind::STRUCT, "task_struct", 64, &task);
        file.structure(kind::STRUCT, "inode", 64, &[("i_sb", 1, 40)]);
        file.structure(kind::STRUCT, "super_block", 64, &[("s_magic", 1, 48)]);
        file.structure(kind::STRUCT, "dentry", 64, &[("d_name", name, 32)]);
        file
    }

    fn with_function() -> File {
        let mut file = kernel();
        file.add("bpf_iter_task_file", kind::FUNC, 0, 1, &[]);
        file
    }

    /// Those of KVM, as a module; the statistics' size is given apart from what is in them.
    fn module(kernel: &File, creator: &str, size: u32) -> File {
        let mut file = File::module(kernel);
        let hist = file.array(1, 4);
        let vm = file.structure(
            kind::STRUCT,
            "kvm_vm_stat",
            16,
            &[("flushes", 1, 0), ("pages", 1, 8)],
        );
        let vcpu = [("exits", 1, 0), ("hist", hist, 8)];
        let vcpu = file.structure(kind::STRUCT, "kvm_vcpu_stat", size, &vcpu);
        let members = [("stat", vm, 8), (creator, 1, 24), ("debugfs_dentry", 1, 32)];
        file.structure(kind::STRUCT, "kvm", 64, &members);
        file.structure(
            kind::STRUCT,
            "kvm_vcpu",
            128,
            &[("kvm", 1, 0), ("vcpu_id", 1, 16), ("stat", vcpu, 24)],
        );
        file
    }

    fn layout(kernel: &File, module: Option<&File>) -> Result<Layout, LoadError> {
        let (kernel, module) = (kernel.bytes(), module.map(File::bytes).unwrap_or_default());
        let (kernel, module) = (kernel.as_slice(), module.as_slice());
        let mut btf = Btf::new(&kernel, &type_names()).unwrap();
        if !module.is_empty() {
            btf.add_module(&module).unwrap();
        }
        Layout::new(&btf)
    }

    #[test]
    fn with_kvm_as_a_module_all_is_found() {
        let kernel = with_function();
        let found = layout(&kernel, Some(&module(&kernel, "userspace_pid", 40))).unwrap();
        let expected = [
            8, 16, 24, 8, 24, 32, 40, 48, 40, 8, 24, 32, 0, 16, 24, 16, 40,
        ];
        assert_eq!((found.function, found.constants), (9, expected));
        let names = |level| {
            found
                .statistics(level)
                .list
                .iter()
                .map(|it| (&*it.name, it.offset, it.values))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(Level::Vm), [("flushes", 0, 1), ("pages", 8, 1)]);
        assert_eq!(names(Level::Vcpu), [("exits", 0, 1), ("hist", 8, 4)]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let kernel = with_function();
        let error = |kernel: &File, module: Option<&File>| layout(kernel, module).unwrap_err();
        assert!(matches!(error(&kernel, None), LoadError::NoKvm));
        assert!(matches!(
            error(&self::kernel(), None),
            LoadError::NoIterator
        ));
        let other = error(&kernel, Some(&module(&kernel, "owner", 40)));
        assert_eq!(
            other.to_string(),
            "struct kvm of this kernel has no userspace_pid"
        );
        for size in [0, 39, 8200] {
            let other = error(&kernel, Some(&module(&kernel, "userspace_pid", size)));
            assert!(
                matches!(
                    other,
                    LoadError::Unreadable {
                        structure: "kvm_vcpu",
                        ..
                    }
                ),
                "{other}"
            );
        }
    }
}
