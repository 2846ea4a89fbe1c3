//! What there is of KVM on this host: looked at once, and then only where something says that it is different.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pipeline::Context;
use pipeline::telemetry::Warnings;
use rustix::io::Errno;

use crate::blocks::Blocks;
#[cfg(feature = "bpf")]
use crate::bpf::Bpf;
#[cfg(feature = "bpf")]
use crate::bpf_vms::KnownVms;
use crate::config::{Config, SourceName};
use crate::debugfs::Debugfs;
use crate::identity::Identity;
use crate::inspected::Purpose;
use crate::layout::Layouts;
use crate::part::Sources;
use crate::problems::Problem;
use crate::processes::Processes;
use crate::procfs::Procfs;
use crate::uevents::{Heard, HeardVm, Uevents};

/// What there is of KVM on this host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) procfs: Result<Procfs, Errno>,
    pub(crate) processes: Processes,
    pub(crate) blocks: Blocks,
    pub(crate) debugfs: Option<Debugfs>,
    #[cfg(feature = "bpf")]
    pub(crate) bpf: Option<Bpf>,
    #[cfg(feature = "bpf")]
    pub(crate) known_vms: KnownVms,
    /// The process that each thread with a VM in debugfs belongs to, as long as it lives.
    pub(crate) threads: HashMap<i32, Option<i32>>,
    /// Who the VMs of processes are that are known by debugfs only.
    pub(crate) strangers: HashMap<i32, Identity>,
    pub(crate) layouts: Layouts,
    uevents: Option<Uevents>,
    /// Processes that are said to have made a VM, and how often they are still looked at for it: the word comes before the
    /// VM's descriptor.
    watched: HashMap<i32, u8>,
    /// VMs that were heard to be made, by process and descriptor.
    pub(crate) made: HashMap<(i32, i32), Made>,
    /// When this was last looked at, unix ns.
    last_look: u64,
    rescan_interval: Duration,
    last_scan: Option<Instant>,
    uses_descriptors: bool,
    /// This process.
    pub(crate) own: i32,
}

/// When a VM was made, unix ns: between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    after: u64,
    heard: u64,
}

impl Made {
    /// Since when a VM is there whose thread was started then: one that is older may have had another VM before.
    pub(crate) fn start(self, thread: u64) -> u64 {
        if thread < self.after {
            self.heard
        } else {
            thread
        }
    }
}

/// So many VMs that were heard to be made are remembered.
const MAX_MADE: usize = 65_536;

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is something else than before.
    Other,
    /// All was looked at anew, and is as it was.
    Rescan,
    /// All is as it was.
    Same,
}

/// How often a process is looked at for a VM that it is said to have made.
const LOOKS: u8 = 3;

impl Host {
    /// Nothing is known yet. What is to be loaded is loaded.
    #[cfg_attr(not(feature = "bpf"), allow(unused_variables))]
    pub(crate) fn new(
        config: &Config,
        context: &Context,
        warnings: &Warnings,
        purpose: Purpose,
    ) -> Host {
        let uses = |source| config.sources.contains(&source);
        Host {
            procfs: Procfs::find(context),
            processes: Processes::new(config.limits.vms),
            // A VM's own, and those of its vCPUs.
            blocks: Blocks::new(config.limits.vms + config.limits.vcpus, purpose),
            debugfs: uses(SourceName::Debugfs).then(|| Debugfs::new(context, purpose)),
            #[cfg(feature = "bpf")]
            bpf: uses(SourceName::Bpf).then(|| Bpf::load(config, &context.counters, warnings)),
            #[cfg(feature = "bpf")]
            known_vms: KnownVms::new(),
            threads: HashMap::new(),
            strangers: HashMap::new(),
            layouts: Layouts::new(config.normalize_units),
            // Without them VMs are found later.
            uevents: Uevents::listen().ok(),
            watched: HashMap::new(),
            made: HashMap::new(),
            last_look: 0,
            rescan_interval: config.rescan_interval.0,
            last_scan: None,
            uses_descriptors: uses(SourceName::StatsFd),
            own: i32::try_from(std::process::id()).unwrap_or_default(),
        }
    }

    /// Whether descriptors of other processes may be taken: whether those have the numbers that this one knows them by.
    pub(crate) fn can_take(&self) -> bool {
        let is_own = self.procfs.as_ref().is_ok_and(|it| it.is_own_namespace);
        self.uses_descriptors && is_own
    }

    /// Looks what is different.
    pub(crate) fn look(&mut self) -> Look {
        let interval = self.rescan_interval;
        let is_due = self.last_scan.is_none_or(|it| it.elapsed() >= interval);
        if is_due {
            self.last_scan = Some(Instant::now());
            self.blocks.forget_errors();
            self.strangers.clear();
            self.debugfs.iter_mut().for_each(Debugfs::distrust);
        }
        let is_other_by_bpf = self.look_by_bpf(is_due);
        let heard = self
            .uevents
            .as_ref()
            .map(Uevents::heard)
            .unwrap_or_default();
        let makers = self.distrust_heard(&heard);
        let mut is_other = self.debugfs.as_mut().is_some_and(Debugfs::update);
        if is_other || is_due {
            self.find_threads(is_due);
        }
        is_other |= is_other_by_bpf || !makers.is_empty();
        if self.can_take()
            && let Ok(procfs) = &self.procfs
        {
            self.watched
                .extend(makers.into_iter().map(|it| (it, LOOKS)));
            is_other |= self.processes.update(procfs);
            self.watched.retain(|pid, looks| {
                if self.processes.get(*pid).is_none() && *pid != self.own {
                    is_other |= self.processes.look(procfs, *pid);
                }
                *looks -= 1;
                *looks > 0
            });
            if is_due || heard.is_overrun {
                is_other |= self.processes.scan(procfs);
            }
        }
        match (is_other, is_due) {
            (true, _) => Look::Other,
            (false, true) => Look::Rescan,
            (false, false) => Look::Same,
        }
    }

    /// VMs that were made or have ended: one that was made anew under the number of another one looks just like that. The
    /// processes that have made some.
    fn distrust_heard(&mut self, heard: &Heard) -> Vec<i32> {
        let now = pipeline::now_unix_nano();
        let after = std::mem::replace(&mut self.last_look, now);
        if self.made.len() > MAX_MADE {
            self.made.clear();
        }
        let Ok(procfs) = &self.procfs else {
            return Vec::new();
        };
        let own = self.own;
        let of_process = |it: &HeardVm| {
            let process = procfs.process_of(it.thread).ok().flatten();
            Some((process.filter(|it| *it != own)?, it.fd))
        };
        let made: Vec<_> = heard.made.iter().filter_map(of_process).collect();
        let ended: Vec<_> = heard.ended.iter().filter_map(of_process).collect();
        for (pid, fd) in &made {
            let Some(fd) = fd else { continue };
            let heard = now;
            self.made.insert((*pid, *fd), Made { after, heard });
            #[cfg(feature = "bpf")]
            self.known_vms
                .retain(|(_, of, at, _), _| (of, at) != (pid, fd));
        }
        for (pid, _) in made.iter().chain(&ended) {
            self.distrust(*pid);
        }
        made.into_iter().map(|(pid, _)| pid).collect()
    }

    /// Makes a pass. Whether it saw anything else than the one before.
    #[cfg_attr(not(feature = "bpf"), allow(unused_variables, clippy::unused_self))]
    fn look_by_bpf(&mut self, is_rescan: bool) -> bool {
        #[cfg(feature = "bpf")]
        if let Some(bpf) = &mut self.bpf {
            return bpf.look(is_rescan, &mut self.layouts);
        }
        false
    }

    /// Finds the processes of the threads that have made the VMs in debugfs, of those that are known only if all are looked
    /// at anew.
    fn find_threads(&mut self, is_rescan: bool) {
        let (Some(debugfs), Ok(procfs)) = (&self.debugfs, &self.procfs) else {
            return;
        };
        let mut before = std::mem::take(&mut self.threads);
        for ((thread, _), _) in debugfs.vms() {
            let known = before.remove(thread).flatten();
            let process = match known.filter(|_| !is_rescan) {
                None => procfs.process_of(*thread).unwrap_or(known),
                known => known,
            };
            self.threads.insert(*thread, process);
            self.watched.extend(process.map(|it| (it, LOOKS)));
        }
    }

    /// Whether BPF tells what VMs there are, whatever may be seen of processes.
    #[cfg_attr(not(feature = "bpf"), allow(clippy::unused_self))]
    pub(crate) fn is_seen_by_bpf(&self) -> bool {
        #[cfg(feature = "bpf")]
        return self.bpf.as_ref().is_some_and(Bpf::is_active);
        #[cfg(not(feature = "bpf"))]
        false
    }

    /// That BPF gives nothing, if it is to give something.
    #[cfg_attr(not(feature = "bpf"), allow(clippy::unused_self))]
    pub(crate) fn bpf_problem(&self) -> Option<Problem> {
        #[cfg(feature = "bpf")]
        return self.bpf.as_ref()?.problem();
        #[cfg(not(feature = "bpf"))]
        None
    }

    /// What is read without taking a descriptor.
    pub(crate) fn sources(&self) -> Sources<'_> {
        Sources {
            debugfs: self.debugfs.as_ref(),
            #[cfg(feature = "bpf")]
            pass: self.bpf.as_ref().and_then(Bpf::pass),
        }
    }

    /// Descriptors of a process are not what they were: it is looked at again before the next sweep.
    pub(crate) fn distrust(&mut self, pid: i32) {
        self.processes.distrust(pid);
        self.blocks.forget(pid);
    }
}
