//! Loading once, then a pass at each sweep.

use std::thread;

use kvm_stats::{Level, OwnVm};

use crate::btf::Statistic;
use crate::layout::Layout;
use crate::loader::Loaded;
use crate::records::{RawRecord, Sizes, read_records};
use crate::{Limits, LoadError, Pass, PassError, Values, host, kernel};

/// More than two of the largest records.
const BUFFER: usize = 64 << 10;

/// All statistics of all VMs of the host.
#[derive(Debug)]
pub struct KvmIterator {
    loaded: Loaded,
    layout: Layout,
    buffer: Vec<u8>,
    pass: Pass,
}

impl KvmIterator {
    /// Finds out where the running kernel keeps the statistics, and loads the program.
    ///
    /// # Errors
    ///
    /// What is missing, and what would mend it; nothing stays loaded then.
    pub fn load() -> Result<Self, LoadError> {
        host::check()?;
        let layout = kernel::layout()?;
        let loaded = Loaded::load(&layout)?;
        Ok(Self {
            loaded,
            layout,
            buffer: vec![0; BUFFER],
            pass: Pass::default(),
        })
    }

    /// The statistics of a level, in the order of their offsets. Their types and units are in the statistics' own
    /// descriptors only, which have them in another order: by name.
    #[must_use]
    pub fn statistics(&self, level: Level) -> &[Statistic] {
        &self.layout.statistics(level).list
    }

    /// Looks at all open files of the host, some 93 ns for each. It blocks: on a thread of its own.
    ///
    /// # Errors
    ///
    /// What was seen is dropped then; the next pass may succeed.
    pub fn pass(&mut self, limits: Limits) -> Result<&Pass, PassError> {
        self.fill(limits, |_| true)?;
        Ok(&self.pass)
    }

    /// What the last pass saw; nothing if it failed.
    #[must_use]
    pub fn last_pass(&self) -> &Pass {
        &self.pass
    }

    /// Compares what the iterator reads of a VM of one's own with what its statistics descriptors give: the proof that the
    /// statistics lie where the kernel's type information says.
    ///
    /// # Errors
    ///
    /// As [`KvmIterator::pass`]; a contradiction if they differ, or if the VM is not seen. After that no pass gives any
    /// records.
    pub fn prove(&mut self, own: &OwnVm) -> Result<(), PassError> {
        let pid = std::process::id();
        let limits = Limits {
            vms: usize::MAX,
            vcpus: usize::MAX,
        };
        self.fill(limits, |record| {
            record.head.is_some_and(|head| head.holder.pid == pid)
        })?;
        let vm = self
            .pass
            .records()
            .find(|it| it.vcpu.is_none() && it.fd == own.fd())
            .map(|it| it.vm);
        for (level, vcpu) in [(Level::Vm, None), (Level::Vcpu, Some(0))] {
            let record = vm.and_then(|vm| self.pass.get(vm, vcpu));
            let values = record.and_then(|record| record.values);
            let seen = values.map(Values::bytes).unwrap_or_default();
            let bytes = self.layout.statistics(level).bytes as usize;
            if own.values(level, bytes)? != seen {
                self.pass.refute();
                let what = format!("the {level} of one's own has other statistics");
                return Err(PassError::Contradiction(what));
            }
        }
        Ok(())
    }

    /// Whether passes go on without any capability: on Linux 6.1 and later they do. It tries, on a thread that has
    /// given up all of its own.
    #[must_use]
    pub fn reads_without_capabilities(&self) -> bool {
        let loaded = &self.loaded;
        thread::scope(|scope| {
            let trial = scope.spawn(|| {
                crate::capabilities::drop_all()?;
                loaded.open()
            });
            matches!(trial.join(), Ok(Ok(_)))
        })
    }

    fn fill(
        &mut self,
        limits: Limits,
        is_kept: impl Fn(&RawRecord<'_>) -> bool,
    ) -> Result<(), PassError> {
        self.pass.clear();
        let sizes = Sizes {
            vm: self.layout.vm.bytes as usize,
            vcpu: self.layout.vcpu.bytes as usize,
        };
        let result = read_records(self.loaded.open()?, &mut self.buffer, sizes, |record| {
            if is_kept(record) {
                self.pass.insert(record, limits);
            }
        });
        match result {
            Ok(()) => self.pass.prove(),
            Err(_) => self.pass.clear(),
        }
        result
    }
}
