//! An empty VM of one's own, whose statistics this process may ask for itself.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::{fmt, io};

use crate::format::{HEADER_BYTES, Header, read_types};
use crate::syscall::{Kvm, make};

/// Of what the statistics are: a VM has its own, and each of its vCPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `struct kvm_vm_stat`.
    Vm,
    /// `struct kvm_vcpu_stat`.
    Vcpu,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Vm => "VM",
            Level::Vcpu => "vCPU",
        })
    }
}

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

    /// What the descriptor of a level says of its statistics: a whole file, with zeros for the values, which are not read.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read_types(&self, level: Level) -> io::Result<Vec<u8>> {
        Ok(read_types(self.statistics(level))?)
    }

    /// The VM's descriptor.
    #[must_use]
    pub fn fd(&self) -> u32 {
        self.vm.as_raw_fd().cast_unsigned()
    }

    /// So many bytes of the values of a level.
    ///
    /// # Errors
    ///
    /// They cannot be read, or are not there.
    pub fn values(&self, level: Level, bytes: usize) -> io::Result<Vec<u8>> {
        let file = self.statistics(level);
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let header = Header::parse(&header).map_err(io::Error::other)?;
        let mut values = vec![0; bytes];
        file.read_exact_at(&mut values, header.data_offset as u64)?;
        Ok(values)
    }
}
