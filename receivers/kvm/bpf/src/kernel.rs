//! The running kernel's type information.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use crate::LoadError;
use crate::btf::{Btf, MAX_BYTES};
use crate::layout::Layout;

const KERNEL: &str = "/sys/kernel/btf/vmlinux";
/// Where KVM is a module; where it is not, or the module's types are with the kernel's (Linux 6.1 of Debian), there is no
/// such file.
const MODULE: &str = "/sys/kernel/btf/kvm";

/// Takes as much memory as the files have bytes, some 6 MiB, and gives it back.
pub(crate) fn layout() -> Result<Layout, LoadError> {
    let kernel = read(KERNEL).map_err(|error| LoadError::NoBtf(KERNEL, error))?;
    let module = match read(MODULE) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        module => Some(module.map_err(|error| LoadError::NoBtf(MODULE, error))?),
    };
    let mut btf = Btf::parse(&kernel).map_err(|error| LoadError::Malformed(KERNEL, error))?;
    if let Some(module) = &module {
        btf.add_module(module)
            .map_err(|error| LoadError::Malformed(MODULE, error))?;
    }
    Layout::new(&btf)
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = usize::try_from(file.metadata()?.len())
        .unwrap_or(MAX_BYTES)
        .min(MAX_BYTES);
    let mut bytes = Vec::with_capacity(size + 1);
    // One byte more than is taken, so that the reader refuses what is too large.
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
