//! The binary form of KVM's statistics: a header, an id, descriptors, and a block of numbers
//! ([KVM: KVM_GET_STATS_FD](https://docs.kernel.org/virt/kvm/api.html#kvm-get-stats-fd)). Bytes in, what they say out:
//! whatever the bytes are, the answer is an error or a value, and nothing is allocated that they do not hold.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::{error, fmt};

use rustix::io::Errno;

use crate::descriptors::Descriptor;

/// The largest file that is read; those of Linux 6.18 have some 4 KiB.
const MAX_BYTES: usize = 1 << 20;

/// The length of the header.
pub const HEADER_BYTES: usize = 24;

/// The most descriptors of a file; those of Linux 6.18 have some 50.
const MAX_DESCRIPTORS: usize = 4096;

/// The longest name and id; the kernel's have 48 bytes, NULs with them.
const MAX_NAME_BYTES: usize = 256;

/// Why a file is none of KVM's statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError(&'static str);

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl error::Error for FormatError {}

/// Where the parts of a file are, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// None are known.
    pub flags: u32,
    /// The length of the id and of each name, NULs with them.
    pub name_bytes: usize,
    /// How many descriptors there are.
    pub descriptors: usize,
    /// Where the id begins.
    pub id_offset: usize,
    /// Where the first descriptor begins.
    pub descriptors_offset: usize,
    /// Where the numbers begin.
    pub data_offset: usize,
}

/// A file of KVM's statistics.
#[derive(Clone, Debug)]
pub struct StatsFile {
    /// Where its parts are.
    pub header: Header,
    /// `kvm-<thread>` for a VM, `kvm-<thread>/vcpu-<number>` for a vCPU: the thread that made it.
    pub id: String,
    /// In the file's order, which is not that of the numbers.
    pub descriptors: Vec<Descriptor>,
}

impl Header {
    /// Reads a header, which says no more than limits allow.
    ///
    /// # Errors
    /// What is impossible in it.
    pub fn parse(bytes: &[u8]) -> Result<Header, FormatError> {
        let word = |at: usize| number(bytes, at * 4).map(|it| it as usize);
        let words = [0, 1, 2, 3, 4, 5].map(word);
        let [
            Some(flags),
            Some(name_bytes),
            Some(descriptors),
            Some(id_offset),
            Some(descriptors_offset),
            Some(data_offset),
        ] = words
        else {
            return Err(FormatError("shorter than a header"));
        };
        if !(1..=MAX_NAME_BYTES).contains(&name_bytes) {
            return Err(FormatError("names of an impossible length"));
        }
        if descriptors > MAX_DESCRIPTORS {
            return Err(FormatError("an impossible number of descriptors"));
        }
        let farthest = id_offset.max(descriptors_offset).max(data_offset);
        if farthest > MAX_BYTES {
            return Err(FormatError("a part lies outside of the file"));
        }
        Ok(Header {
            flags: u32::try_from(flags).unwrap_or_default(),
            name_bytes,
            descriptors,
            id_offset,
            descriptors_offset,
            data_offset,
        })
    }

    /// The bytes of the id.
    #[must_use]
    pub fn id<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        file.get(self.id_offset..self.id_offset + self.name_bytes)
    }

    /// The bytes of all descriptors.
    #[must_use]
    pub fn descriptors<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let length = self.descriptors * Descriptor::bytes(self.name_bytes);
        file.get(self.descriptors_offset..self.descriptors_offset + length)
    }

    /// The block of numbers.
    #[must_use]
    pub fn data<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        file.get(self.data_offset..)
    }
}

impl StatsFile {
    /// Reads a whole file.
    ///
    /// # Errors
    /// What is impossible in it, or lies outside of it.
    pub fn parse(file: &[u8]) -> Result<StatsFile, FormatError> {
        let header = Header::parse(file)?;
        let id = header
            .id(file)
            .ok_or(FormatError("the id lies outside of the file"))?;
        let descriptors = header
            .descriptors(file)
            .ok_or(FormatError("descriptors lie outside of the file"))?;
        let descriptors: Vec<Descriptor> = descriptors
            .chunks_exact(Descriptor::bytes(header.name_bytes))
            .filter_map(Descriptor::parse)
            .collect();
        let data = header.data(file).unwrap_or_default().len();
        if descriptors.iter().any(|it| it.end() > data) {
            return Err(FormatError("a statistic lies outside of the file"));
        }
        Ok(StatsFile {
            header,
            id: text(id),
            descriptors,
        })
    }
}

/// The four bytes from here as a number, in the host's order.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

/// The text before the first NUL; all of it where there is none.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|it| *it == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// All of a file, as far as it is of a possible size.
///
/// # Errors
/// It cannot be read.
pub fn read_all<F: AsFd>(file: &F) -> Result<Vec<u8>, Errno> {
    read_to(file, MAX_BYTES + 1)
}

/// The same with zeros for its values, which are not read.
///
/// # Errors
/// It cannot be read.
pub fn read_types<F: AsFd>(file: &F) -> Result<Vec<u8>, Errno> {
    let head = read_to(file, HEADER_BYTES)?;
    let Ok(header) = Header::parse(&head) else {
        return Ok(head);
    };
    let mut all = read_to(file, header.data_offset)?;
    let descriptors = header.descriptors(&all).unwrap_or_default();
    let each = descriptors.chunks_exact(Descriptor::bytes(header.name_bytes));
    let ends = each.filter_map(Descriptor::parse).map(|it| it.end());
    let values = ends.max().unwrap_or_default();
    let end = header.data_offset.saturating_add(values).min(MAX_BYTES);
    all.resize(end.max(all.len()), 0);
    Ok(all)
}

/// The first bytes of a file.
fn read_to(file: &impl AsFd, end: usize) -> Result<Vec<u8>, Errno> {
    let mut all = Vec::new();
    let mut chunk = [MaybeUninit::uninit(); 16 * 1024];
    while all.len() < end {
        let room = chunk.len().min(end - all.len());
        let (read, _) = rustix::io::pread(file, &mut chunk[..room], all.len() as u64)?;
        if read.is_empty() {
            break;
        }
        all.extend_from_slice(read);
    }
    Ok(all)
}
