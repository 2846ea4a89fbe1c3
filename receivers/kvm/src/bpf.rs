//! The source `bpf`: one pass over all open files of the host at each sweep, which also tells what VMs there are.

use std::sync::Arc;

use kvm_bpf::{KvmIterator, Level, LoadError, OwnVm, Pass, PassError, Record, VmKey};
use pipeline::telemetry::{Counters, Warnings, escaped};

use crate::bpf_types::Types;
use crate::config::Config;
use crate::counters::{BPF_DUPLICATES, BPF_OVER_LIMIT, BPF_PASSES_FAILED, BPF_UNREADABLE};
use crate::layout::Layouts;
use crate::problems::{BEYOND, Problem};
use crate::statistic::Statistic;

/// So many passes that fail in a row, and what they saw before holds no more: one is an interruption.
const MAX_FAILURES: u32 = 2;

const NOT_LOADED: &str = "statistics cannot be had by bpf; the other sources go on";
const NOT_DROPPED: &str = "capabilities for bpf cannot be given up after loading";
const FAILED: &str = "a pass by bpf gave nothing";
const WITHHELD: &str =
    "what bpf reads is not proved to be statistics of VMs; nothing of it goes out";
const UNTYPED: &str = "statistics whose types the kernel does not tell; they are of no kind";

/// What reads by BPF.
#[derive(Debug)]
pub(crate) struct Bpf {
    limits: kvm_bpf::Limits,
    normalize: bool,
    counters: Counters,
    warnings: Warnings,
    /// `None` where it could not be loaded.
    iterator: Option<KvmIterator>,
    /// Whether loading may succeed later.
    is_retried: bool,
    /// Why it gives nothing, if it gives nothing.
    pub(crate) trouble: Option<String>,
    /// How many passes have failed since one that did not.
    failures: u32,
    /// VMs and vCPUs, a VM before its vCPUs, as the last pass that did not fail saw them.
    pub(crate) seen: Vec<Seen>,
    /// Descriptors beyond the limits.
    over_limit: u64,
    own: Own,
    types: Option<Types>,
}

/// What a VM of one's own has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// It was not made yet: there was no other VM.
    NotAsked,
    /// Nothing: it could not be made, or not be seen. It is tried again at a rescan.
    Silent,
    /// The types, and that the places are right.
    Proved,
}

/// A VM or vCPU that was seen, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) vm: VmKey,
    pub(crate) vcpu: Option<u32>,
    pub(crate) pid: i32,
    pub(crate) fd: i32,
    /// Of the process, ns since boot.
    pub(crate) process_start: u64,
    /// The thread that made the VM.
    pub(crate) creator: i32,
    /// The VM's directory in debugfs: `<thread>-<descriptor>`.
    pub(crate) directory: Option<(i32, i32)>,
}

/// A VM that was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenVm {
    pub(crate) key: VmKey,
    /// Whether a descriptor of the VM itself is open, and not of its vCPUs only: its own statistics are read then.
    pub(crate) is_open: bool,
}

impl Bpf {
    /// Loads the program, and gives up the capabilities for it on this thread.
    pub(crate) fn load(config: &Config, counters: &Counters, warnings: &Warnings) -> Bpf {
        let mut bpf = Bpf {
            limits: kvm_bpf::Limits {
                // Those without a vCPU take no place of others; each of the others has one.
                vms: config.limits.vms.saturating_add(config.limits.vcpus),
                vcpus: config.limits.vcpus,
            },
            normalize: config.normalize_units,
            counters: counters.clone(),
            warnings: warnings.clone(),
            iterator: None,
            is_retried: true,
            trouble: None,
            failures: 0,
            seen: Vec::new(),
            over_limit: 0,
            own: Own::NotAsked,
            types: None,
        };
        bpf.try_load();
        bpf
    }

    fn try_load(&mut self) {
        match KvmIterator::load() {
            Ok(iterator) => {
                self.give_up_capabilities(&iterator);
                self.iterator = Some(iterator);
            }
            Err(error) => {
                self.is_retried = matches!(error, LoadError::NoKvm);
                let why = escaped(&error.to_string()).into_owned();
                self.warnings.warn(NOT_LOADED, &why);
                self.trouble = Some(why);
            }
        }
    }

    fn give_up_capabilities(&self, iterator: &KvmIterator) {
        if !iterator.reads_without_capabilities() {
            let why = "this kernel asks for them at each pass (Linux 6.1 and newer do not)";
            self.warnings.warn(NOT_DROPPED, why);
        } else if let Err(error) = kvm_bpf::drop_bpf_capabilities() {
            self.warnings.warn(NOT_DROPPED, &error.to_string());
        }
    }

    /// That it gives nothing, if it gives nothing.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let message = if self.iterator.is_none() {
            NOT_LOADED
        } else {
            FAILED
        };
        let detail = self.trouble.clone()?;
        Some(Problem {
            reason: Some("bpf"),
            message,
            detail,
        })
    }

    /// Whether it tells what VMs there are.
    pub(crate) fn is_active(&self) -> bool {
        let is_proved = self.pass().is_some_and(Pass::is_proved);
        is_proved && self.failures < MAX_FAILURES
    }

    /// What the last pass saw.
    pub(crate) fn pass(&self) -> Option<&Pass> {
        self.iterator.as_ref().map(KvmIterator::last_pass)
    }

    /// Makes a pass. Whether there are other VMs or vCPUs than before. At a rescan what failed is tried again.
    pub(crate) fn look(&mut self, is_rescan: bool, layouts: &mut Layouts) -> bool {
        if self.iterator.is_none() && self.is_retried && is_rescan {
            self.try_load();
        }
        let was_active = self.is_active();
        let mut is_other = self.look_again();
        let is_due = match self.own {
            Own::NotAsked => true,
            Own::Silent => is_rescan,
            Own::Proved => false,
        };
        if is_due && self.has_vms() {
            self.own = Own::Silent;
            is_other |= self.ask_own_vm(layouts) && self.look_again();
        }
        is_other || was_active != self.is_active()
    }

    fn has_vms(&self) -> bool {
        let is_withheld = self.pass().is_some_and(Pass::is_withheld);
        is_withheld || self.seen.iter().any(|it| it.vcpu.is_some())
    }

    fn look_again(&mut self) -> bool {
        let Some(iterator) = &mut self.iterator else {
            return false;
        };
        let pass = match iterator.pass(self.limits) {
            Ok(pass) => pass,
            Err(error) => {
                self.failed(&error);
                return false;
            }
        };
        (self.failures, self.trouble) = (0, None);
        self.counters.record(BPF_DUPLICATES, pass.duplicates);
        self.counters.record(BPF_UNREADABLE, pass.unreadable);
        self.counters.record(BPF_OVER_LIMIT, pass.over_limit);
        if pass.is_withheld() {
            let why = "no vCPU leads to a VM that is there, or one's own reads otherwise";
            self.warnings.warn(WITHHELD, why);
            self.trouble = Some(format!("{WITHHELD}: {why}"));
        }
        let mut records = pass.records();
        let is_same = self
            .seen
            .iter()
            .all(|it| records.next().is_some_and(|of| it.is_of(&of)));
        if is_same && records.next().is_none() && pass.over_limit == self.over_limit {
            return false;
        }
        self.over_limit = pass.over_limit;
        if self.over_limit > 0 {
            let count = self.over_limit;
            self.warnings.warn(
                BEYOND,
                &format!("{count} descriptors of them that bpf sees"),
            );
        }
        self.seen = pass.records().filter_map(|it| Seen::new(&it)).collect();
        true
    }

    fn failed(&mut self, error: &PassError) {
        self.failures = self.failures.saturating_add(1);
        self.counters.record(BPF_PASSES_FAILED, 1);
        let why = escaped(&error.to_string()).into_owned();
        self.warnings.warn(FAILED, &why);
        self.trouble = Some(why);
    }

    /// Learns the types of all statistics from an empty VM of one's own, and compares what is read of it with what its
    /// descriptors give. Whether there was one, and another pass is due: `/dev/kvm` may be closed to this program.
    fn ask_own_vm(&mut self, layouts: &mut Layouts) -> bool {
        let (Some(iterator), Ok(own)) = (&mut self.iterator, OwnVm::create()) else {
            return false;
        };
        let learn = |level| {
            let bytes = own.read_types(level).ok()?;
            layouts.of_file(&bytes).ok()
        };
        let has_learnt = [Level::Vm, Level::Vcpu]
            .map(learn)
            .iter()
            .all(Option::is_some);
        match iterator.prove(&own) {
            Ok(()) if has_learnt => (self.own, self.types) = (Own::Proved, None),
            Ok(()) => {}
            Err(error) => self.failed(&error),
        }
        true
    }

    /// The types by what is known by now: nothing is done where that is no more than before.
    pub(crate) fn find_types(&mut self, layouts: &Layouts) {
        let is_known = |it: &Types| self.own == Own::Proved || it.layouts == layouts.len();
        let Some(iterator) = &self.iterator else {
            return;
        };
        if self.types.as_ref().is_some_and(is_known) || !self.has_vms() {
            return;
        }
        let types = Types::find(iterator, layouts, self.normalize);
        if types.untyped > 0 {
            let count = types.untyped;
            let why = format!(
                "{count} statistics: /dev/kvm cannot be opened, and no descriptor of any could be taken"
            );
            self.warnings.warn(UNTYPED, &why);
        }
        self.types = Some(types);
    }

    /// The statistics of a level, in the kernel's struct.
    pub(crate) fn statistics(&self, level: Level) -> Option<&Arc<[Statistic]>> {
        self.types.as_ref().map(|it| it.of(level))
    }
}

impl Seen {
    /// `None`: numbers that no process has.
    fn new(of: &Record<'_>) -> Option<Seen> {
        let directory = of.debugfs().split_once('-');
        Some(Seen {
            vm: of.vm,
            vcpu: of.vcpu,
            pid: of.pid.try_into().ok()?,
            fd: of.fd.try_into().ok()?,
            process_start: of.process_start,
            creator: of.creator.try_into().ok()?,
            directory: directory.and_then(|(it, fd)| Some((it.parse().ok()?, fd.parse().ok()?))),
        })
    }

    /// Whether a record is of the same, and held by the same.
    fn is_of(&self, of: &Record<'_>) -> bool {
        let holder = (self.pid.cast_unsigned(), self.fd.cast_unsigned());
        (self.vm, self.vcpu, self.process_start) == (of.vm, of.vcpu, of.process_start)
            && holder == (of.pid, of.fd)
    }
}
