//! `bpf(2)`, as far as an iterator takes it: the one file of this crate with unsafe code.
//!
//! No crate gives `bpf(2)` to safe code but as a part of a loader, and none of those opens an iterator without keeping
//! tens of megabytes (README). What it takes is `union bpf_attr` of the kernel's include/uapi/linux/bpf.h.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_ITER_CREATE: libc::c_int = 33;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_ITER: u32 = 28;
/// How often the verifier may be interrupted by a signal.
const MAX_INTERRUPTIONS: usize = 5;

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    core_relo_cnt: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// Loads an iterator: its instructions, for the function of the kernel that has this number in its BTF. What the
/// verifier says is left in `log`, unless that is empty.
pub(crate) fn load_iterator(
    instructions: &[[u8; 8]],
    license: &CStr,
    function: u32,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut name = [0; 16];
    name[..9].copy_from_slice(b"kvm_stats");
    let attributes = ProgLoad {
        prog_type: BPF_PROG_TYPE_TRACING,
        insn_cnt: instructions.len().try_into().map_err(too_long)?,
        insns: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len().try_into().map_err(too_long)?,
        log_buf: if log.is_empty() {
            0
        } else {
            log.as_mut_ptr() as u64
        },
        prog_name: name,
        expected_attach_type: BPF_TRACE_ITER,
        attach_btf_id: function,
        ..ProgLoad::default()
    };
    let mut interruptions = 0;
    loop {
        // SAFETY: `insns` and `license` point to `instructions` and `license`, of which the kernel reads as many bytes as
        // it is told and up to the NUL; `log_buf` points to `log`, in which it writes as many as it is told at the most.
        // All three outlive the call, after which the kernel keeps none of them.
        match unsafe { bpf(BPF_PROG_LOAD, &attributes) } {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && interruptions < MAX_INTERRUPTIONS =>
            {
                interruptions += 1;
            }
            result => return result,
        }
    }
}

/// A link, of which [`open`] makes passes.
pub(crate) fn link(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        prog_fd: number(program),
        target_fd: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
    };
    // SAFETY: the attributes have no pointer.
    unsafe { bpf(BPF_LINK_CREATE, &attributes) }
}

/// A file whose reads make one pass.
pub(crate) fn open(link: BorrowedFd<'_>) -> io::Result<File> {
    let attributes = IterCreate {
        link_fd: number(link),
        flags: 0,
    };
    // SAFETY: the attributes have no pointer.
    unsafe { bpf(BPF_ITER_CREATE, &attributes) }.map(File::from)
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

/// A command that gives a descriptor, which the kernel opens with `O_CLOEXEC`.
///
/// # Safety
///
/// `T` is what the kernel takes for the command, without padding, and the memory that it points to is valid for what the
/// command does with it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `attributes`, and takes what it knows beyond for zeros. For the
    // rest the caller answers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    match i32::try_from(result) {
        // SAFETY: it is a new descriptor, which nobody else knows.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_attributes_lie_where_the_kernel_has_them_and_have_no_padding() {
        assert_eq!(offset_of!(ProgLoad, log_buf), 32);
        assert_eq!(offset_of!(ProgLoad, expected_attach_type), 68);
        assert_eq!(offset_of!(ProgLoad, line_info), 96);
        assert_eq!(offset_of!(ProgLoad, attach_btf_id), 108);
        assert_eq!(size_of::<ProgLoad>(), 120);
        assert_eq!((size_of::<LinkCreate>(), size_of::<IterCreate>()), (16, 8));
    }
}
