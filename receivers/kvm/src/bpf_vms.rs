//! The VMs of the host as the last pass by BPF saw them: it knows which vCPU is whose.

use std::collections::{BTreeMap, HashMap};

use kvm_bpf::VmKey;

use crate::bpf::{Seen, SeenVm};
use crate::host::Host;
use crate::identity::Identity;
use crate::procfs::boot_unix_nano;
use crate::vm::Vm;
use crate::vms::ByKey;

/// What tells a VM from all that were before: its key may be another one's once it has ended.
type VmLife = (VmKey, i32, i32, u64);

/// Who each VM is, and since when it is there, unix ns: looked at once, so that both stay the same.
/// `None` is one whose command line has not answered.
pub(crate) type KnownVms = HashMap<VmLife, (Option<Identity>, u64)>;

impl Host {
    /// All VMs that were seen. `held` are those that processes were found to hold, for their statistics descriptors.
    pub(crate) fn vms_by_bpf(&mut self, mut held: ByKey) -> ByKey {
        // What was taken of descriptors has told of types, too.
        if let Some(bpf) = &mut self.bpf {
            bpf.find_types(&self.layouts);
        }
        let seen = self
            .bpf
            .as_ref()
            .map(|it| it.seen.clone())
            .unwrap_or_default();
        let mut known = KnownVms::new();
        let mut vms = ByKey::new();
        for all in seen.chunk_by(|a, b| a.vm == b.vm) {
            let of = all[0];
            if of.pid != self.own {
                let life = (of.vm, of.pid, of.fd, of.process_start);
                let who = match self.known_vms.remove(&life) {
                    Some((None, start)) => (self.identity_by_bpf(&of), start),
                    Some(known) => known,
                    None => self.who(&of),
                };
                let vm = self.vm_by_bpf(all, who.clone());
                known.insert(life, who);
                vms.insert(vm.key, vm);
            }
        }
        self.known_vms = known;
        add_blocks(&mut vms, &mut held);
        vms
    }

    fn vm_by_bpf(&self, all: &[Seen], (identity, start): (Option<Identity>, u64)) -> Vm {
        let of = all[0];
        let mut vm = Vm {
            key: (of.pid, of.fd),
            identity: identity.unwrap_or_default(),
            start,
            bpf: Some(SeenVm {
                key: of.vm,
                is_open: of.vcpu.is_none(),
            }),
            ..Vm::default()
        };
        if let (Some(debugfs), Some(name)) = (&self.debugfs, of.directory)
            && let Some(directory) = debugfs.vm(name)
        {
            vm.set_directory(name, directory);
        }
        // A vCPU that is closed by all has its directory still.
        let vcpus = all.iter().filter_map(|it| Some((it.vcpu?, None)));
        vm.vcpus = vcpus.collect();
        vm
    }

    /// Who a VM is. It is there since the thread that made it was started, as far as that lives, else its process.
    fn who(&self, of: &Seen) -> (Option<Identity>, u64) {
        let Ok(procfs) = &self.procfs else {
            return (Some(Identity::default()), 0);
        };
        let thread = procfs.thread_start(of.pid, of.creator);
        let start = boot_unix_nano().saturating_add(thread.unwrap_or(of.process_start));
        let made = self.made.get(&(of.pid, of.fd));
        let start = made.map_or(start, |it| it.start(start));
        (self.identity_by_bpf(of), start)
    }

    fn identity_by_bpf(&self, of: &Seen) -> Option<Identity> {
        Identity::of_process(self.procfs.as_ref().ok()?, of.pid)
    }
}

/// Adds the statistics descriptors that are kept. Not where a process has several VMs: a descriptor does not say whose it
/// is, and all of it is read by BPF.
fn add_blocks(vms: &mut ByKey, held: &mut ByKey) {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    vms.keys()
        .for_each(|(pid, _)| *counts.entry(*pid).or_default() += 1);
    for (key, vm) in vms.iter_mut().filter(|(key, _)| counts[&key.0] == 1) {
        let same = held
            .remove(key)
            .filter(|it| it.vcpus.keys().eq(vm.vcpus.keys()));
        if let Some(same) = same {
            (vm.block, vm.vcpus) = (same.block.clone(), same.vcpus);
        }
    }
}
