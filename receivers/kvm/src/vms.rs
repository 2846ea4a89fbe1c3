//! The VMs of the host: what processes hold open and what debugfs shows, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::debugfs::VmDirectory;
use crate::host::Host;
use crate::identity::Identity;
use crate::join::{self, VmFiles};
use crate::kvm_file::KvmFile;
use crate::procfs::Descriptors;
use crate::vm::Vm;

/// By process, and the VM's descriptor there.
pub(crate) type ByKey = BTreeMap<(i32, i32), Vm>;

/// The VMs that there are, and what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct FoundVms {
    /// Those that have a vCPU; the oldest first.
    pub(crate) vms: Vec<Vm>,
    /// Processes whose VMs cannot be told apart.
    pub(crate) indistinct: Vec<i32>,
}

impl Host {
    /// All VMs that have a vCPU: others are probes, or not made yet.
    pub(crate) fn vms(&mut self) -> FoundVms {
        let (mut vms, mut indistinct) = (ByKey::new(), Vec::new());
        self.update_blocks();
        for (pid, files) in self.held() {
            match files {
                Some(all) => {
                    let all = all.into_iter().map(|it| self.vm(pid, &it));
                    vms.extend(all.map(|vm| (vm.key, vm)));
                }
                None => indistinct.push(pid),
            }
        }
        if self.is_seen_by_bpf() {
            #[cfg(feature = "bpf")]
            {
                vms = self.vms_by_bpf(vms);
            }
            indistinct.clear();
        } else {
            self.add_directories(&mut vms);
            indistinct.extend(doubtful(&mut vms));
        }
        let mut vms: Vec<Vm> = vms
            .into_values()
            .filter(|it| !it.vcpus.is_empty())
            .collect();
        vms.sort_by_key(|it| (it.start, it.key));
        FoundVms { vms, indistinct }
    }

    /// Reads the statistics descriptors that are new for the first time.
    fn update_blocks(&mut self) {
        let Ok(procfs) = &self.procfs else { return };
        let (processes, blocks) = (&self.processes, &self.blocks);
        let descriptors = processes.iter().flat_map(|of| {
            let vms = join::vms(&of.descriptors);
            let statistics: Vec<_> = if let Some(vms) = vms {
                vms.iter().flat_map(VmFiles::statistics).collect()
            } else {
                // Whether it has them of its parent tells the first of those that both have.
                let parent = processes.parent(of).into_iter();
                let mut shared = parent.flat_map(|it| of.shared(it));
                let shared = shared.find(|it| it.1.is_statistics()).map(|it| it.0);
                let all = of.descriptors.iter().copied();
                let is_read = |fd| shared == Some(fd) || blocks.is_known(of.process.pid, fd);
                all.filter(|it| it.1.is_statistics() && is_read(it.0))
                    .collect()
            };
            let of = &of.process;
            statistics.into_iter().map(move |(fd, file)| (of, fd, file))
        });
        let descriptors: Vec<_> = descriptors.collect();
        self.blocks
            .update(descriptors.into_iter(), procfs, &mut self.layouts);
        // What is left of one that was forked may tell VMs apart that all of it does not.
        for (pid, vms) in self.held() {
            let Some(of) = self.processes.get(pid) else {
                continue;
            };
            for (fd, file) in vms.iter().flatten().flat_map(VmFiles::statistics) {
                self.blocks
                    .add(&of.process, (fd, file), procfs, &mut self.layouts);
            }
        }
    }

    /// What processes hold that they have opened themselves.
    fn own_descriptors(&self) -> Vec<(i32, Descriptors)> {
        let id_of = |pid, fd| self.blocks.get(pid, fd).map(|it| it.id.as_str());
        self.processes.own(id_of)
    }

    /// What processes hold open; `None`: what cannot be told apart. Not what those that were forked have of others.
    fn held(&self) -> Vec<(i32, Option<Vec<VmFiles>>)> {
        let own = self.own_descriptors().into_iter();
        own.map(|(pid, own)| (pid, join::vms(&own))).collect()
    }

    /// A VM as its process holds it. It is there since the first of the threads that have made it and its vCPUs was
    /// started, as far as they live.
    fn vm(&self, pid: i32, files: &VmFiles) -> Vm {
        let of = self.processes.get(pid);
        let block = |fd: Option<i32>| self.blocks.get(pid, fd?).map(Arc::clone);
        let vcpus = files.vcpus.iter();
        let vcpus: BTreeMap<u32, _> = vcpus.map(|(number, fd)| (*number, block(*fd))).collect();
        let own = block(files.stats);
        let blocks = own.iter().chain(vcpus.values().flatten());
        let start = blocks.map(|it| it.start).filter(|it| *it > 0).min();
        let start = start.or(of.map(|it| it.start)).unwrap_or_default();
        let made = self.made.get(&(pid, files.fd));
        Vm {
            key: (pid, files.fd),
            identity: of.and_then(|it| it.identity.clone()).unwrap_or_default(),
            start: made.map_or(start, |it| it.start(start)),
            block: own,
            vcpus,
            is_held: true,
            ..Vm::default()
        }
    }

    /// Adds what debugfs shows: the files of VMs that are known, and VMs that are not.
    fn add_directories(&mut self, vms: &mut ByKey) {
        let Some(debugfs) = &self.debugfs else { return };
        let mut rest = Vec::new();
        for (name, directory) in debugfs.vms() {
            let pid = self.threads.get(&name.0).copied().flatten();
            let known = pid.and_then(|pid| vms.get_mut(&(pid, name.1)));
            match known {
                Some(vm) => vm.set_directory(*name, directory),
                None if pid == Some(self.own) => {}
                None => rest.push((*name, pid, directory.clone())),
            }
        }
        for (name, pid, directory) in rest {
            if let Some(vm) = self.only_match(vms, name, pid) {
                vm.set_directory(name, &directory);
                continue;
            }
            let identity = self.identity_of(pid);
            let mut vm = Vm {
                key: (pid.unwrap_or(name.0), name.1),
                identity,
                ..Vm::default()
            };
            vm.set_directory(name, &directory);
            vms.insert(vm.key, vm);
        }
    }

    /// The one VM that a directory can be of, though its name does not say so: the thread that made the VM has ended, or
    /// the VM's own descriptor is closed.
    fn only_match<'a>(
        &self,
        vms: &'a mut ByKey,
        (_, fd): (i32, i32),
        pid: Option<i32>,
    ) -> Option<&'a mut Vm> {
        let is_closed = |key: (i32, i32)| {
            let of = self.processes.get(key.0);
            of.is_some_and(|of| !of.descriptors.contains(&(key.1, KvmFile::Vm)))
        };
        let is_match = |vm: &Vm| {
            let fits = match pid {
                Some(pid) => vm.key.0 == pid && is_closed(vm.key),
                None => vm.key.1 == fd,
            };
            fits && vm.directory.is_none()
        };
        let mut matches = vms.values_mut().filter(|it| is_match(it));
        let first = matches.next();
        first.filter(|_| matches.next().is_none())
    }

    /// Who a VM is whose descriptors may not be seen: command lines may.
    fn identity_of(&mut self, pid: Option<i32>) -> Identity {
        let (Some(pid), Ok(procfs)) = (pid, &self.procfs) else {
            return Identity::default();
        };
        let known = self.processes.get(pid).and_then(|it| it.identity.as_ref());
        if let Some(known) = known.or_else(|| self.strangers.get(&pid)) {
            return known.clone();
        }
        // What does not answer now may at the next change.
        let identity = Identity::of_process(procfs, pid);
        self.strangers.extend(identity.clone().map(|it| (pid, it)));
        identity.unwrap_or_default()
    }
}

/// The processes with several VMs of which debugfs says otherwise than the order of descriptors does: which statistics are
/// whose is not known then.
fn doubtful(vms: &mut ByKey) -> BTreeSet<i32> {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    vms.keys()
        .for_each(|(pid, _)| *counts.entry(*pid).or_default() += 1);
    let of = vms
        .values()
        .filter(|it| it.is_doubtful && counts[&it.key.0] > 1);
    let pids: BTreeSet<i32> = of.map(|it| it.key.0).collect();
    for vm in vms.values_mut().filter(|it| pids.contains(&it.key.0)) {
        vm.block = None;
        let directory = vm.directory.as_ref();
        let vcpus = directory.into_iter().flat_map(|(_, it)| it.vcpus.keys());
        vm.vcpus = vcpus.map(|number| (*number, None)).collect();
    }
    pids
}

impl Vm {
    /// Its files in debugfs, which also say since when it is there, and which vCPUs it has.
    pub(crate) fn set_directory(&mut self, (thread, fd): (i32, i32), directory: &VmDirectory) {
        if directory.start > 0 {
            self.start = directory.start;
        }
        self.is_doubtful = self.is_held && !self.vcpus.keys().eq(directory.vcpus.keys());
        for number in directory.vcpus.keys() {
            self.vcpus.entry(*number).or_default();
        }
        self.directory = Some((format!("{thread}-{fd}"), directory.clone()));
    }
}
