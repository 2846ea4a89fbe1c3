//! The BPF program: told where the kernel's members lie, loaded, attached.

use std::fs::File;
use std::io;

use aya::programs::links::LinkError;
use aya::programs::{Iter, ProgramError};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::layout::Layout;
use crate::{LoadError, host};

/// Built of the source beside it by `scripts/bpf-object.sh`.
const OBJECT: &[u8] = include_bytes_aligned!("../bpf/kvm_stats.bpf.o");
const PROGRAM: &str = "kvm_stats";
const ITERATES: &str = "task_file";
/// Of the kernel's own words.
const MAX_REASON: usize = 300;

/// The program in the kernel; it goes with this.
#[derive(Debug)]
pub(crate) struct Loaded(Ebpf);

impl Loaded {
    pub(crate) fn load(layout: &Layout) -> Result<Self, LoadError> {
        let secret = secret().map_err(LoadError::Io)?;
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        for (name, value) in &layout.globals {
            loader.override_global(*name, value, true);
        }
        loader.override_global("secret", &secret, true);
        let mut loaded = Self(loader.load(OBJECT).map_err(|error| unloaded(&error))?);
        let kernel =
            Btf::from_sys_fs().map_err(|error| LoadError::Rejected(shorten(&error.to_string())))?;
        let iterator = loaded.iterator().map_err(|error| rejected(&error))?;
        iterator
            .load(ITERATES, &kernel)
            .map_err(|error| rejected(&error))?;
        Ok(loaded)
    }

    /// A new pass, which begins with the first read.
    pub(crate) fn open(&mut self) -> io::Result<File> {
        self.attach()
            .map_err(|error| system_error(&error).unwrap_or_else(|| io::Error::other(error)))
    }

    fn attach(&mut self) -> Result<File, ProgramError> {
        let iterator = self.iterator()?;
        let link = iterator.attach()?;
        iterator
            .take_link(link)?
            .into_file()
            .map_err(|error| match error {
                LinkError::SyscallError(error) => error.into(),
                error => io::Error::other(error).into(),
            })
    }

    fn iterator(&mut self) -> Result<&mut Iter, ProgramError> {
        let program = self.0.program_mut(PROGRAM).ok_or(ProgramError::NotLoaded)?;
        program.try_into()
    }
}

fn secret() -> io::Result<u64> {
    let mut secret = [0; 8];
    getrandom(&mut secret, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(secret))
}

/// Where `bpf(2)` is refused, aya takes the kernel for one that has no global data, and says that the object lacks it.
fn unloaded(error: &EbpfError) -> LoadError {
    match error {
        EbpfError::RelocationError(_) => host::refused(),
        error => LoadError::Rejected(shorten(&error.to_string())),
    }
}

fn rejected(error: &ProgramError) -> LoadError {
    let reason = match error {
        ProgramError::Btf(_) => return LoadError::NoIterator,
        ProgramError::LoadError { verifier_log, .. } => last_line(&verifier_log.to_string()),
        error => error.to_string(),
    };
    let code = system_error(error);
    match code
        .as_ref()
        .and_then(io::Error::raw_os_error)
        .map(rustix::io::Errno::from_raw_os_error)
    {
        Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) if reason.is_empty() => {
            host::refused()
        }
        // Lockdown takes this helper away, and the verifier does not know it then.
        _ if reason.contains("bpf_probe_read_kernel") => LoadError::Lockdown,
        _ => LoadError::Rejected(match code {
            Some(code) => format!("{code}: {}", shorten(&reason)),
            None => shorten(&reason),
        }),
    }
}

fn system_error(error: &ProgramError) -> Option<io::Error> {
    let error = match error {
        ProgramError::LoadError { io_error, .. } | ProgramError::IOError(io_error) => io_error,
        ProgramError::SyscallError(error) => &error.io_error,
        _ => return None,
    };
    error.raw_os_error().map(io::Error::from_raw_os_error)
}

/// The verifier ends with what is wrong, and then counts what it did.
fn last_line(log: &str) -> String {
    let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty());
    let said = lines
        .find(|line| !line.starts_with("processed ") && !line.starts_with("verification time "));
    said.unwrap_or_default().to_owned()
}

fn shorten(text: &str) -> String {
    text.escape_debug().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::last_line;

    #[test]
    fn the_verifiers_reason_is_its_last_line_but_for_its_counts() {
        let log = "0: (79) r6 = *(u64 *)(r1 +8)\nunknown func bpf_probe_read_kernel#113\nprocessed 30 insns (limit 1000000)\n";
        assert_eq!(last_line(log), "unknown func bpf_probe_read_kernel#113");
        assert_eq!(last_line(""), "");
    }
}
