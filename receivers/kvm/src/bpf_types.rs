//! The types of what is read by BPF: the kernel's type information has names and places only.

use std::sync::Arc;

use kvm_bpf::{KvmIterator, Level};

use crate::layout::Layouts;
use crate::statistic::Statistic;

/// The statistics of each level.
#[derive(Debug)]
pub(crate) struct Types {
    vm: Arc<[Statistic]>,
    vcpu: Arc<[Statistic]>,
    /// How many statistics have no type.
    pub(crate) untyped: usize,
    /// How many shapes of descriptors were known.
    pub(crate) layouts: usize,
}

impl Types {
    /// The statistics that the statistics' own descriptors have at the same places. Where no descriptors of a level are
    /// known, its numbers as they are.
    pub(crate) fn find(iterator: &KvmIterator, layouts: &Layouts, normalize: bool) -> Types {
        let mut untyped = 0;
        let mut find = |level| -> Arc<[Statistic]> {
            let all = iterator.statistics(level);
            let typed: Vec<Statistic> = all.iter().filter_map(|it| typed(it, layouts)).collect();
            if !typed.is_empty() {
                return typed.into();
            }
            untyped += all.len();
            let plain = all.iter().filter(|it| it.values == 1);
            plain
                .map(|it| Statistic::untyped(&it.name, it.offset as usize, normalize))
                .collect()
        };
        let (vm, vcpu) = (find(Level::Vm), find(Level::Vcpu));
        let layouts = layouts.len();
        Types {
            vm,
            vcpu,
            untyped,
            layouts,
        }
    }

    /// Those of a level.
    pub(crate) fn of(&self, level: Level) -> &Arc<[Statistic]> {
        match level {
            Level::Vm => &self.vm,
            Level::Vcpu => &self.vcpu,
        }
    }
}

fn typed(of: &kvm_bpf::Statistic, layouts: &Layouts) -> Option<Statistic> {
    let known = layouts.find_at(&of.name, of.offset as usize, of.values as usize);
    known.cloned()
}
