//! What the program writes, one record for each open descriptor of a VM or vCPU: see `struct record` in its source.

mod read;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::read::read_records;
use crate::PassError;

const VERSION: u16 = 2;
const KIND_VM: u16 = 1;
const KIND_VCPU: u16 = 2;
const HEADER: usize = 80;
/// What says whether all could be read.
const TRAILER: usize = 8;
const FAILED_VALUES: u64 = 1;
const FAILED_HEADER: u64 = 2;
/// The name of a vCPU's file, before its number.
const VCPU_NAME: &str = "kvm-vcpu:";
const VM_NAME: &str = "kvm-vm";

/// How many bytes of statistics each level has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) vm: usize,
    pub(crate) vcpu: usize,
}

/// Who holds the descriptor. The smallest is who had it first: forks and duplicates come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder {
    /// Of the process, in nanoseconds since boot.
    pub(crate) start: u64,
    pub(crate) pid: u32,
    pub(crate) fd: u32,
}

/// A record without its statistics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) vm: u64,
    pub(crate) vcpu: Option<u32>,
    pub(crate) holder: Holder,
    pub(crate) creator: u32,
    /// Ends with a NUL.
    pub(crate) debugfs: [u8; 24],
}

/// One record.
#[derive(Debug)]
pub(crate) struct RawRecord<'a> {
    /// `None` if the kernel could not read it.
    pub(crate) head: Option<Head>,
    /// `None` if the kernel could not read them.
    pub(crate) values: Option<&'a [u8]>,
    /// How many bytes it takes.
    pub(crate) length: usize,
}

/// The first record; `None` if it is not whole yet.
pub(crate) fn parse(bytes: &[u8], sizes: Sizes) -> Result<Option<RawRecord<'_>>, PassError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let size = size(header, sizes)?;
    let Some((values, rest)) = rest.split_at_checked(size) else {
        return Ok(None);
    };
    let Some(failed) = rest.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes)) else {
        return Ok(None);
    };
    let is_read = |part| failed & part == 0;
    Ok(Some(RawRecord {
        head: is_read(FAILED_HEADER).then(|| head(header)).transpose()?,
        values: is_read(FAILED_VALUES).then_some(values),
        length: HEADER + size + TRAILER,
    }))
}

fn size(header: &[u8; HEADER], sizes: Sizes) -> Result<usize, PassError> {
    if half(header, 0) != VERSION {
        return Err(PassError::Malformed("it is of another version"));
    }
    let expected = match half(header, 2) {
        KIND_VM => sizes.vm,
        KIND_VCPU => sizes.vcpu,
        _ => return Err(PassError::Malformed("it is neither a VM's nor a vCPU's")),
    };
    match usize::try_from(word(header, 4)) {
        Ok(size) if size == expected => Ok(size),
        _ => Err(PassError::Malformed(
            "its size is not that of the statistics",
        )),
    }
}

/// What is known twice has to be the same.
fn head(header: &[u8; HEADER]) -> Result<Head, PassError> {
    let vcpu = (half(header, 2) == KIND_VCPU).then(|| word(header, 32));
    let head = Head {
        vm: long(header, 16),
        vcpu,
        holder: Holder {
            start: long(header, 8),
            pid: word(header, 24),
            fd: word(header, 28),
        },
        creator: word(header, 36),
        debugfs: *chunk(header, 40),
    };
    let name = text(chunk::<16>(header, 64));
    if !is_called(name, vcpu) {
        let read = vcpu.map_or("a VM".into(), |number| format!("vCPU {number}"));
        return Err(contradiction(name, &read));
    }
    let debugfs = text(&head.debugfs);
    let maker = debugfs
        .split_once('-')
        .and_then(|(maker, _)| maker.parse().ok());
    if !debugfs.is_empty() && maker != Some(head.creator) {
        return Err(contradiction(
            debugfs,
            &format!("a VM made by thread {}", head.creator),
        ));
    }
    Ok(head)
}

fn is_called(name: &str, vcpu: Option<u32>) -> bool {
    match vcpu {
        None => name == VM_NAME,
        Some(vcpu) => {
            name.strip_prefix(VCPU_NAME)
                .and_then(|number| number.parse().ok())
                == Some(vcpu)
        }
    }
}

fn contradiction(name: &str, read: &str) -> PassError {
    PassError::Contradiction(format!("{name:?} reads as {read}"))
}

/// Up to the NUL; nothing if that is not text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    str::from_utf8(text).unwrap_or_default()
}

fn chunk<const N: usize>(header: &[u8; HEADER], at: usize) -> &[u8; N] {
    header[at..]
        .first_chunk()
        .expect("all fields lie in the header")
}

fn half(header: &[u8; HEADER], at: usize) -> u16 {
    u16::from_ne_bytes(*chunk(header, at))
}

fn word(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_ne_bytes(*chunk(header, at))
}

fn long(header: &[u8; HEADER], at: usize) -> u64 {
    u64::from_ne_bytes(*chunk(header, at))
}
