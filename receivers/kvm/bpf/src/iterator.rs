//! Loading once, then a pass at each sweep.

use std::thread;

use crate::btf::Statistic;
use crate::layout::{Layout, Level};
use crate::loader::Loaded;
use crate::records::{Sizes, read_records};
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

/// A VM of this very process with one vCPU, which does not run, and what its own statistics descriptors gave.
#[derive(Debug, Clone, Copy)]
pub struct OwnVm<'a> {
    /// The VM's descriptor.
    pub fd: u32,
    /// The data block of its statistics.
    pub vm: &'a [u8],
    /// The data block of its vCPU's.
    pub vcpu: &'a [u8],
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
        self.pass.clear();
        let result = self.fill(limits);
        if result.is_err() {
            self.pass.clear();
        }
        result.map(|()| &self.pass)
    }

    /// Compares what the iterator reads of a VM of one's own with what its statistics descriptors gave: the proof that
    /// the statistics lie where the kernel's type information says.
    ///
    /// # Errors
    ///
    /// As [`KvmIterator::pass`]; a contradiction if they differ, or if the VM is not seen.
    pub fn prove(&mut self, own: OwnVm<'_>) -> Result<(), PassError> {
        let pass = self.pass(Limits {
            vms: usize::MAX,
            vcpus: usize::MAX,
        })?;
        let pid = std::process::id();
        let vm = pass
            .records()
            .find(|it| it.vcpu.is_none() && (it.pid, it.fd) == (pid, own.fd));
        let vcpu = vm.and_then(|vm| {
            pass.records()
                .find(|it| it.vcpu.is_some() && it.vm == vm.vm)
        });
        for (name, record, expected) in [("VM", vm, own.vm), ("vCPU", vcpu, own.vcpu)] {
            let values = record.and_then(|record| record.values).map(Values::bytes);
            if values != Some(expected) {
                return Err(PassError::Contradiction(format!(
                    "a {name} of one's own has other statistics"
                )));
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

    fn fill(&mut self, limits: Limits) -> Result<(), PassError> {
        let sizes = Sizes {
            vm: self.layout.vm.bytes as usize,
            vcpu: self.layout.vcpu.bytes as usize,
        };
        let file = self.loaded.open()?;
        read_records(file, &mut self.buffer, sizes, |record| {
            self.pass.insert(record, limits);
        })?;
        self.pass.prove();
        Ok(())
    }
}
