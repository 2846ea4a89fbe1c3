//! The values of a part that is read by BPF, out of what the last pass saw.

use std::sync::Arc;

use kvm_bpf::{Pass, VmKey};

use crate::statistic::Statistic;

/// Some statistics of a VM, of one of its vCPUs, or the sums of those of several.
#[derive(Clone, Debug)]
pub(crate) struct BpfValues {
    pub(crate) vm: VmKey,
    /// `None` is the VM itself.
    pub(crate) parts: Arc<[Option<u32>]>,
    pub(crate) statistics: Arc<[Statistic]>,
    /// Those that are wanted.
    pub(crate) selected: Arc<[usize]>,
}

impl BpfValues {
    /// The block of numbers; that of several is made in `sums`. `None`: one of them was not read. A part of a sum is none.
    pub(crate) fn data<'a>(&self, pass: &'a Pass, sums: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let data = |vcpu: &Option<u32>| Some(pass.get(self.vm, *vcpu)?.values?.bytes());
        let (first, rest) = self.parts.split_first()?;
        if rest.is_empty() {
            return data(first);
        }
        sums.clear();
        sums.extend_from_slice(data(first)?);
        for vcpu in rest {
            let data = data(vcpu)?;
            self.statistics.iter().for_each(|it| it.add(sums, data));
        }
        Some(sums)
    }
}
