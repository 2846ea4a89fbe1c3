//! Which descriptors of a process belong together: its VMs, their vCPUs, and the statistics of both.

use std::collections::BTreeMap;

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

/// The VMs of a process. Where it has several, a descriptor belongs to the VM before it, since whoever makes a VM, its
/// vCPUs and their statistics does so in this order. `None`: that leads nowhere, because a VM would have a vCPU twice, or
/// statistics of one that it does not have.
pub(crate) fn vms(descriptors: &Descriptors) -> Option<Vec<VmFiles>> {
    let fds = |wanted: fn(KvmFile) -> bool| {
        let all = descriptors.iter().filter(move |(_, it)| wanted(*it));
        all.map(|(fd, _)| *fd)
    };
    let mut starts: Vec<i32> = fds(|it| it == KvmFile::Vm).collect();
    if starts.is_empty() {
        // The VM's own is closed, and lives on with its vCPUs.
        starts.extend(fds(|it| matches!(it, KvmFile::Vcpu(_))).next());
    }
    let mut vms: Vec<VmFiles> = starts.iter().map(|fd| VmFiles::new(*fd)).collect();
    let owner = |fd: i32| starts.partition_point(|start| *start <= fd).max(1) - 1;
    let is_only = starts.len() == 1;
    for (fd, file) in descriptors {
        let Some(vm) = vms.get_mut(owner(*fd)) else {
            continue;
        };
        if let KvmFile::Vcpu(number) = file
            && vm.vcpus.insert(*number, None).is_some()
            && !is_only
        {
            return None;
        }
    }
    for (fd, file) in descriptors {
        let Some(vm) = vms.get_mut(owner(*fd)) else {
            continue;
        };
        match file {
            KvmFile::VcpuStats(number) => match vm.vcpus.get_mut(number) {
                // Of two that show one vCPU, the first.
                Some(stats) => _ = stats.get_or_insert(*fd),
                None if is_only => {}
                None => return None,
            },
            KvmFile::VmStats => _ = vm.stats.get_or_insert(*fd),
            KvmFile::Vm | KvmFile::Vcpu(_) => {}
        }
    }
    Some(vms)
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
        ];
        let expected = vm(9, Some(11), &[(0, Some(12)), (1, Some(3))]);
        assert_eq!(vms(&descriptors), Some(vec![expected]));
        assert_eq!(vms(&vec![]), Some(vec![]));
    }

    #[test]
    fn of_several_vms_each_has_what_was_made_after_it() {
        let descriptors = vec![
            (5, Vm),
            (6, Vcpu(0)),
            (7, VcpuStats(0)),
            (8, Vm),
            (9, VmStats),
            (10, Vcpu(0)),
            (11, Vcpu(1)),
            (12, VcpuStats(1)),
        ];
        let expected = vec![
            vm(5, None, &[(0, Some(7))]),
            vm(8, Some(9), &[(0, None), (1, Some(12))]),
        ];
        assert_eq!(vms(&descriptors), Some(expected));
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
        ] {
            assert_eq!(vms(&descriptors), None);
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
