//! The requests of KVM that give descriptors: the one file of this crate with unsafe code.
//!
//! No crate has KVM's request for statistics' descriptors, of the kernel's include/uapi/linux/kvm.h.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const KVM_CREATE_VM: libc::Ioctl = 0xae01;
const KVM_CREATE_VCPU: libc::Ioctl = 0xae41;
const KVM_GET_STATS_FD: libc::Ioctl = 0xaece;

/// What KVM makes, and gives as a descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kvm {
    /// A VM, of /dev/kvm.
    Vm,
    /// The vCPU of this number, of a VM.
    Vcpu(u16),
    /// The statistics of a VM or a vCPU (Linux 5.14 or newer).
    Statistics,
}

/// Has KVM make it.
pub(crate) fn make(of: BorrowedFd<'_>, wanted: Kvm) -> io::Result<OwnedFd> {
    let (request, argument): (_, libc::c_ulong) = match wanted {
        Kvm::Vm => (KVM_CREATE_VM, 0),
        Kvm::Vcpu(number) => (KVM_CREATE_VCPU, number.into()),
        Kvm::Statistics => (KVM_GET_STATS_FD, 0),
    };
    // SAFETY: these requests take a number and no pointer, of whatever kind the descriptor is: another kind than KVM's
    // may know the number for something else, but /dev/kvm and what it made are all that comes here.
    let descriptor = unsafe { libc::ioctl(of.as_raw_fd(), request, argument) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
