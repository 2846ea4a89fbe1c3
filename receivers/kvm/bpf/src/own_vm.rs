//! An empty VM of one's own, whose statistics this process may ask for itself.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::layout::Level;
use crate::syscall::{Kvm, make};

/// The header of a statistics file, as <https://docs.kernel.org/virt/kvm/api.html#kvm-get-stats-fd> has it, has six words.
const HEADER: usize = 24;
/// Where the last of them is, the offset of the values.
const DATA_OFFSET: usize = 20;

/// A VM with one vCPU, which never runs. It goes with this.
///
/// A host's first VM may switch virtualization on, on all CPUs: make one only where others are. It takes half a
/// millisecond.
#[derive(Debug)]
pub struct OwnVm {
    vm: OwnedFd,
    /// Only what has a descriptor is seen.
    _vcpu: OwnedFd,
    statistics: [File; 2],
}

impl OwnVm {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// `/dev/kvm` cannot be opened for reading, or Linux is older than 5.14 and has no statistics descriptors (ENOTTY).
    pub fn create() -> io::Result<Self> {
        let kvm = File::open("/dev/kvm")?;
        let vm = make(kvm.as_fd(), Kvm::Vm)?;
        let vcpu = make(vm.as_fd(), Kvm::Vcpu(0))?;
        let vm_statistics = make(vm.as_fd(), Kvm::Statistics)?;
        let vcpu_statistics = make(vcpu.as_fd(), Kvm::Statistics)?;
        Ok(Self {
            vm,
            _vcpu: vcpu,
            statistics: [vm_statistics.into(), vcpu_statistics.into()],
        })
    }

    /// The statistics' own descriptor of a level: names, types, units and values, as the running kernel has them.
    #[must_use]
    pub fn statistics(&self, level: Level) -> &File {
        &self.statistics[level as usize]
    }

    /// The VM's descriptor.
    pub(crate) fn fd(&self) -> u32 {
        self.vm.as_raw_fd().cast_unsigned()
    }

    /// So many bytes of the values of a level.
    pub(crate) fn values(&self, level: Level, bytes: usize) -> io::Result<Vec<u8>> {
        let file = self.statistics(level);
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        let data = header[DATA_OFFSET..]
            .first_chunk()
            .map_or(0, |offset| u32::from_ne_bytes(*offset));
        let mut values = vec![0; bytes];
        file.read_exact_at(&mut values, data.into())?;
        Ok(values)
    }
}
