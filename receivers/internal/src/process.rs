//! What the program costs as a whole.

use std::fs::File;
use std::os::unix::fs::FileExt;

use pipeline::telemetry::Warnings;
use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

/// The memory of this process: `size resident shared …`, in pages
/// ([proc_pid_statm(5)](https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html)).
const STATM: &str = "/proc/self/statm";

/// What reads it. A sweep takes one system call, and one for the clock.
pub(crate) struct Process {
    statm: Option<File>,
}

/// The memory of the process, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// What of it no file and no shared memory stands behind.
    pub(crate) anonymous: u64,
}

impl Process {
    /// Opens what tells of the memory. Where there is none, that is warned of.
    pub(crate) fn new(warnings: &Warnings) -> Process {
        let statm = File::open(STATM);
        if let Err(error) = &statm {
            let message = "the program's own memory cannot be told";
            warnings.warn(message, &format!("{STATM}: {error}"));
        }
        Process { statm: statm.ok() }
    }

    /// Its memory now, where that is known.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let mut bytes = [0; 256];
        let read = self.statm.as_ref()?.read_at(&mut bytes, 0).ok()?;
        parse(&bytes[..read], page_size() as u64)
    }

    /// The CPU time of all its threads, seconds.
    #[allow(clippy::cast_precision_loss)] // years have 2⁵³ ns
    pub(crate) fn cpu_seconds() -> f64 {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    }
}

fn parse(statm: &[u8], page: u64) -> Option<Memory> {
    let text = std::str::from_utf8(statm).ok()?;
    let mut pages = text.split_ascii_whitespace().skip(1);
    let mut bytes = || Some(pages.next()?.parse::<u64>().ok()?.saturating_mul(page));
    let (resident, shared) = (bytes()?, bytes()?);
    Some(Memory {
        resident,
        anonymous: resident.saturating_sub(shared),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_out_of_what_the_kernel_says_in_pages() {
        let memory = parse(b"100 30 10 5 0 20 0\n", 4096);
        let expected = Memory {
            resident: 30 * 4096,
            anonymous: 20 * 4096,
        };
        assert_eq!(memory, Some(expected));
        for odd in ["", "1", "1 2", "a b c", "1 -2 3"] {
            assert_eq!(parse(odd.as_bytes(), 4096), None, "{odd:?}");
        }
        assert!(Process::cpu_seconds() > 0.0);
    }
}
