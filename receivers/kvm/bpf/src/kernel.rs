//! The running kernel's type information.

use std::fs::File;
use std::io::ErrorKind;

use crate::LoadError;
use crate::btf::Btf;
use crate::layout::{Layout, type_names};

const KERNEL: &str = "/sys/kernel/btf/vmlinux";
/// Where KVM is a module; where it is not, or the module's types are with the kernel's (Linux 6.1 of Debian), there is no
/// such file.
const MODULE: &str = "/sys/kernel/btf/kvm";

pub(crate) fn layout() -> Result<Layout, LoadError> {
    let kernel =
        open(KERNEL)?.ok_or_else(|| LoadError::NoBtf(KERNEL, ErrorKind::NotFound.into()))?;
    let module = open(MODULE)?;
    let mut btf =
        Btf::new(&kernel, &type_names()).map_err(|error| LoadError::Malformed(KERNEL, error))?;
    if let Some(module) = &module {
        btf.add_module(module)
            .map_err(|error| LoadError::Malformed(MODULE, error))?;
    }
    Layout::new(&btf)
}

/// `None` where there is none.
fn open(path: &'static str) -> Result<Option<File>, LoadError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LoadError::NoBtf(path, error)),
    }
}
