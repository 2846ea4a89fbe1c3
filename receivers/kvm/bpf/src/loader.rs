//! The BPF program: told where the kernel's members lie, loaded, and opened for each pass.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::layout::Layout;
use crate::{LoadError, host, syscall};

/// Its instructions, made of the source beside it by `scripts/bpf-program.sh`.
const PROGRAM: &[u8] = include_bytes!("../bpf/kvm_stats.bpf.bin");
/// The upper half of a constant that is to be replaced, and the instruction that loads a constant of 64 bits.
const MARK: [u8; 4] = 0x6b76_6d53_u32.to_le_bytes();
const LOAD_CONSTANT: u8 = 0x18;
/// For what the verifier says where it refuses the program.
const LOG: usize = 1 << 20;
/// Of which so much is shown.
const MAX_REASON: usize = 300;

/// The program in the kernel; it goes with this.
#[derive(Debug)]
pub(crate) struct Loaded(OwnedFd);

impl Loaded {
    pub(crate) fn load(layout: &Layout) -> Result<Self, LoadError> {
        if cfg!(target_endian = "big") {
            return Err(LoadError::BigEndian);
        }
        let secret = secret().map_err(LoadError::Io)?;
        let constants: Vec<u64> = layout.constants.iter().copied().chain([secret]).collect();
        let program = with_constants(PROGRAM, &constants);
        let load = |log: &mut [u8]| {
            syscall::load_iterator(&program, c"Dual MIT/GPL", layout.function, log)
        };
        let loaded = load(&mut []).map_err(|error| refused(&error, load))?;
        let link = syscall::link(loaded.as_fd());
        link.map(Self).map_err(|error| {
            LoadError::Rejected(format!("it does not become an iterator: {error}"))
        })
    }

    /// What passes are opened of.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// A new pass, which begins with the first read.
    pub(crate) fn open(&self) -> io::Result<File> {
        syscall::open(self.0.as_fd())
    }
}

fn secret() -> io::Result<u64> {
    let mut secret = [0; 8];
    getrandom(&mut secret, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(secret))
}

/// The instructions, with each marked constant replaced by that of its number. Such an instruction takes the room of two,
/// each with a half of the constant at its end.
fn with_constants(program: &[u8], constants: &[u64]) -> Vec<[u8; 8]> {
    let mut program = program.as_chunks().0.to_vec();
    for at in 1..program.len() {
        let [load, upper]: &mut [[u8; 8]; 2] = (&mut program[at - 1..=at])
            .try_into()
            .expect("there are two");
        if load[0] != LOAD_CONSTANT || upper[4..] != MARK {
            continue;
        }
        let number = u32::from_le_bytes(*load.last_chunk().expect("it has 8 bytes"));
        let constant = constants[number as usize].to_le_bytes();
        load[4..].copy_from_slice(&constant[..4]);
        upper[4..].copy_from_slice(&constant[4..]);
    }
    program
}

/// Why, if need be by asking again for what the verifier says.
fn refused(error: &io::Error, load: impl Fn(&mut [u8]) -> io::Result<OwnedFd>) -> LoadError {
    if matches!(
        Errno::from_io_error(error),
        Some(Errno::PERM | Errno::ACCESS)
    ) {
        return host::refused();
    }
    let mut log = vec![0; LOG];
    let _ = load(&mut log);
    let log = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let reason = last_line(&String::from_utf8_lossy(log));
    // Lockdown takes this helper away, and the verifier does not know it then.
    if reason.contains("bpf_probe_read_kernel") {
        return LoadError::Lockdown;
    }
    LoadError::Rejected(format!("{error}: {reason}"))
}

/// The verifier ends with what is wrong, and then counts what it did.
fn last_line(log: &str) -> String {
    let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty());
    let reason =
        lines.find(|line| !line.starts_with("processed ") && !line.starts_with("verification"));
    reason
        .unwrap_or_default()
        .escape_debug()
        .take(MAX_REASON)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_constant_of_the_program_is_one_that_the_loader_knows_and_the_other_way_round() {
        let marks = |program: &[[u8; 8]]| program.iter().filter(|it| it[4..] == MARK).count();
        let original = PROGRAM.as_chunks().0.to_vec();
        assert_eq!(PROGRAM.len() % 8, 0);
        let mut used: Vec<_> = original
            .windows(2)
            .filter(|it| it[0][0] == LOAD_CONSTANT && it[1][4..] == MARK)
            .map(|it| u32::from_le_bytes(*it[0].last_chunk().unwrap()) as usize)
            .collect();
        assert_eq!(marks(&original), used.len());
        used.sort_unstable();
        used.dedup();
        assert_eq!(used, (0..=crate::layout::CONSTANTS).collect::<Vec<_>>());
        let constants: Vec<u64> = (0..=crate::layout::CONSTANTS as u64)
            .map(|it| it << 32 | 7)
            .collect();
        assert_eq!(marks(&with_constants(PROGRAM, &constants)), 0);
    }

    #[test]
    fn a_marked_constant_is_replaced_and_another_is_left() {
        let load = |number: u32, upper: [u8; 4]| {
            [[0x18, 1, 0, 0], number.to_le_bytes(), [0; 4], upper].concat()
        };
        let program = [load(1, MARK), load(1, [0; 4])].concat();
        let expected = [
            load(0x5566_7788, 0x1122_3344_u32.to_le_bytes()),
            load(1, [0; 4]),
        ]
        .concat();
        assert_eq!(
            with_constants(&program, &[0, 0x1122_3344_5566_7788]).concat(),
            expected
        );
    }

    #[test]
    fn the_verifiers_reason_is_its_last_line_but_for_its_counts() {
        let log = "0: (79) r6 = *(u64 *)(r1 +8)\nunknown func bpf_probe_read_kernel#113\nprocessed 30 insns (limit 1000000)\n";
        assert_eq!(last_line(log), "unknown func bpf_probe_read_kernel#113");
        assert_eq!(last_line(""), "");
    }

    #[test]
    fn under_lockdown_the_verifiers_reason_is_translated() {
        for reason in [
            "unknown func bpf_probe_read_kernel#113\n",
            "program of this type cannot use helper bpf_probe_read_kernel#113\n",
        ] {
            let load = |log: &mut [u8]| {
                log[..reason.len()].copy_from_slice(reason.as_bytes());
                Err(io::ErrorKind::InvalidInput.into())
            };
            let error = refused(&io::Error::from_raw_os_error(22), load);
            assert!(matches!(error, LoadError::Lockdown), "{error}");
        }
    }
}
