//! Which descriptors of a process belong together: its VMs, their vCPUs, and the statistics of both.

use std::collections::{BTreeMap, BTreeSet};

use crate::kvm_file::KvmFile;
use crate::procfs::Descriptors;

/// A VM as its process holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VmFiles {
    /// The VM's own descriptor: it is its name in the process.
    pub(crate) fd: i32,
    /// The descriptor of its statistics, if one is kept.
    pub(crate) stats: Option<i32>,
    /// Its vCPUs by number, and the descriptor of the statistics of each, if one is kept.
    pub(crate) vcpus: BTreeMap<u32, Option<i32>>,
}

/// The VMs of a process. Where it has several, an order of descriptors is believed only if no other owner is possible: a
/// vCPU can be of each VM before it that has none of its number yet, statistics can be of each one before them that has
/// none yet. `None`: one could be of two, so that whose it is cannot be told; or of none.
pub(crate) fn vms(descriptors: &Descriptors) -> Option<Vec<VmFiles>> {
    let is_vm = |it: &&(i32, KvmFile)| it.1 == KvmFile::Vm;
    let is_vcpu = |it: &&(i32, KvmFile)| matches!(it.1, KvmFile::Vcpu(_));
    let mut starts = descriptors.iter().filter(is_vm);
    match (starts.next(), starts.next()) {
        // The VM's own is closed, and lives on with its vCPUs.
        (None, _) => match descriptors.iter().find(is_vcpu) {
            Some((fd, _)) => Some(vec![only_vm(*fd, descriptors, |_| true)?]),
            None => Some(Vec::new()),
        },
        // One that was opened before the VM may be of another one, whose own is closed.
        (Some((start, _)), None) => Some(vec![only_vm(*start, descriptors, |fd| fd < *start)?]),
        (Some(_), Some(_)) => several_vms(descriptors),
    }
}

/// The one VM of a process, which has all. `None`: it has a vCPU twice, of which one can be another VM's.
fn only_vm(
    fd: i32,
    descriptors: &Descriptors,
    is_of_another: impl Fn(i32) -> bool,
) -> Option<VmFiles> {
    let mut vm = VmFiles::new(fd);
    let vcpus = descriptors.iter().filter_map(|(fd, file)| match file {
        KvmFile::Vcpu(number) => Some((*fd, *number)),
        _ => None,
    });
    let mut doubtful = BTreeSet::new();
    for (fd, number) in vcpus {
        if vm.vcpus.insert(number, None).is_some() && doubtful.contains(&number) {
            return None;
        }
        doubtful.extend(is_of_another(fd).then_some(number));
    }
    for (fd, file) in descriptors {
        match file {
            // Of two that show one vCPU, the first.
            KvmFile::VcpuStats(number) => {
                if let Some(stats) = vm.vcpus.get_mut(number) {
                    stats.get_or_insert(*fd);
                }
            }
            KvmFile::VmStats => _ = vm.stats.get_or_insert(*fd),
            KvmFile::Vm | KvmFile::Vcpu(_) => {}
        }
    }
    Some(vm)
}

/// The VMs of a process with several, in the order in which whatever they have was opened.
fn several_vms(descriptors: &Descriptors) -> Option<Vec<VmFiles>> {
    let mut vms: Vec<VmFiles> = Vec::new();
    for (fd, file) in descriptors {
        match file {
            KvmFile::Vm => vms.push(VmFiles::new(*fd)),
            KvmFile::Vcpu(number) => {
                let vm = only(&mut vms, |it| !it.vcpus.contains_key(number))?;
                vm.vcpus.insert(*number, None);
            }
            KvmFile::VcpuStats(number) => {
                let vm = only(&mut vms, |it| it.vcpus.get(number) == Some(&None))?;
                vm.vcpus.insert(*number, Some(*fd));
            }
            KvmFile::VmStats => only(&mut vms, |it| it.stats.is_none())?.stats = Some(*fd),
        }
    }
    Some(vms)
}

/// The one of which something can be.
fn only(vms: &mut [VmFiles], can_be: impl Fn(&VmFiles) -> bool) -> Option<&mut VmFiles> {
    let mut all = vms.iter_mut().filter(|it| can_be(it));
    let first = all.next();
    first.filter(|_| all.next().is_none())
}

impl VmFiles {
    fn new(fd: i32) -> VmFiles {
        VmFiles {
            fd,
            ..VmFiles::default()
        }
    }

    /// The descriptors of statistics that are read: one of each VM, and one of each vCPU.
    pub(crate) fn statistics(&self) -> impl Iterator<Item = (i32, KvmFile)> {
        let own = self.stats.map(|fd| (fd, KvmFile::VmStats));
        let vcpus = self.vcpus.iter();
        let vcpus = vcpus.filter_map(|(number, fd)| Some(((*fd)?, KvmFile::VcpuStats(*number))));
        own.into_iter().chain(vcpus)
    }
}

#[cfg(test)]
mod tests {
    use super::KvmFile::{Vcpu, VcpuStats, Vm, VmStats};
    use super::*;

    fn vm(fd: i32, stats: Option<i32>, vcpus: &[(u32, Option<i32>)]) -> VmFiles {
        VmFiles {
            fd,
            stats,
            vcpus: vcpus.iter().copied().collect(),
        }
    }

    #[test]
    fn all_that_a_process_with_one_vm_holds_is_that_ones() {
        let descriptors = vec![
            (3, VcpuStats(1)),
            (4, Vcpu(1)),
            (9, Vm),
            (10, Vcpu(0)),
            (11, VmStats),
            (12, VcpuStats(0)),
            (13, VcpuStats(0)),
            (14, VcpuStats(7)),
            // Copied.
            (15, Vcpu(0)),
        ];
        let expected = vm(9, Some(11), &[(0, Some(12)), (1, Some(3))]);
        assert_eq!(vms(&descriptors), Some(vec![expected]));
        assert_eq!(vms(&vec![]), Some(vec![]));
    }

    #[test]
    fn of_several_vms_each_has_what_can_be_no_other_ones() {
        let descriptors = vec![
            (5, Vm),
            (6, Vcpu(0)),
            (7, VcpuStats(0)),
            (8, Vcpu(1)),
            (9, Vm),
            (11, Vcpu(0)),
            (12, Vcpu(1)),
            (13, VcpuStats(1)),
            (14, Vm),
            (15, Vcpu(0)),
        ];
        // Without the last but two, which may be the first one's.
        let distinct = [&descriptors[..7], &descriptors[8..]].concat();
        let expected = vec![
            vm(5, None, &[(0, Some(7)), (1, None)]),
            vm(9, None, &[(0, None), (1, None)]),
            vm(14, None, &[(0, None)]),
        ];
        assert_eq!(vms(&descriptors), None);
        assert_eq!(vms(&distinct), Some(expected));
        let own = vec![(5, Vm), (6, VmStats), (7, Vm), (8, VmStats)];
        let expected = vec![vm(5, Some(6), &[]), vm(7, Some(8), &[])];
        assert_eq!(vms(&own), Some(expected));
    }

    #[test]
    fn vms_that_cannot_be_told_apart_are_not() {
        for descriptors in [
            vec![(5, Vm), (6, Vm), (7, Vcpu(0)), (8, Vcpu(0))],
            vec![
                (5, Vm),
                (6, Vcpu(0)),
                (7, Vm),
                (8, Vcpu(1)),
                (9, VcpuStats(0)),
            ],
            // The first one's statistics, then perhaps the second one's: asked for once both are there.
            vec![
                (5, Vm),
                (6, Vcpu(0)),
                (7, Vm),
                (8, Vcpu(0)),
                (9, VcpuStats(0)),
                (10, VcpuStats(0)),
            ],
            vec![
                (5, Vm),
                (6, Vcpu(0)),
                (7, Vm),
                (8, Vcpu(0)),
                (9, VcpuStats(0)),
            ],
            vec![(5, Vm), (6, Vm), (7, VmStats)],
            // A vCPU that the first one was given later.
            vec![(5, Vm), (6, Vcpu(0)), (7, Vm), (8, Vcpu(0)), (9, Vcpu(1))],
            // A VM whose own descriptor is closed, beside another one.
            vec![(6, Vcpu(0)), (7, Vm), (8, Vcpu(0)), (9, VcpuStats(0))],
        ] {
            assert_eq!(vms(&descriptors), None, "{descriptors:?}");
        }
    }

    #[test]
    fn a_vm_whose_own_descriptor_is_closed_lives_with_its_vcpus() {
        let descriptors = vec![(4, Vcpu(0)), (5, VcpuStats(0))];
        assert_eq!(vms(&descriptors), Some(vec![vm(4, None, &[(0, Some(5))])]));
        assert_eq!(
            vms(&vec![(5, VcpuStats(0))]),
            Some(vec![]),
            "somebody else's, who has taken it"
        );
    }
}
