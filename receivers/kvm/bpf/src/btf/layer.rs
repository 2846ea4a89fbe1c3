//! One file of BTF: its header, and where each of its types begins.

use super::kind;
use super::{Malformed, word};

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// Bytes of a type before what belongs to its kind.
const TYPE: usize = 12;
/// The kernel's own is some 5 to 12 MiB.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// Ids and string offsets go on from one file to the next: a module's refer to the kernel's.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    starts: Vec<u32>,
    pub(super) first_id: u32,
    pub(super) first_string: u32,
}

/// A type as it lies in the file.
pub(super) struct RawType<'a> {
    pub(super) name: u32,
    pub(super) kind: u32,
    /// Of members, or of what else the kind has.
    pub(super) count: usize,
    pub(super) has_bitfields: bool,
    /// A size, or another type's id.
    pub(super) operand: u32,
    pub(super) tail: &'a [u8],
}

impl<'a> Layer<'a> {
    pub(super) fn parse(
        data: &'a [u8],
        first_id: u32,
        first_string: u32,
    ) -> Result<Self, Malformed> {
        if data.len() > MAX_BYTES {
            return Err(Malformed("it is larger than 64 MiB"));
        }
        let magic = data.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
        if magic != Some(MAGIC) || data.get(2) != Some(&1) {
            return Err(Malformed(
                "it has no header of version 1 in this machine's byte order",
            ));
        }
        let types = section(data, 8).ok_or(Malformed("its types reach past its end"))?;
        let strings = section(data, 16).ok_or(Malformed("its strings reach past its end"))?;
        let starts = starts(types).ok_or(Malformed(
            "a type is cut short, or of a kind that is not known here",
        ))?;
        Ok(Self {
            types,
            strings,
            starts,
            first_id,
            first_string,
        })
    }

    /// The first id and string offset of what comes on top.
    pub(super) fn next(&self) -> Option<(u32, u32)> {
        let types = u32::try_from(self.starts.len()).ok()?;
        let strings = u32::try_from(self.strings.len()).ok()?;
        Some((
            self.first_id.checked_add(types)?,
            self.first_string.checked_add(strings)?,
        ))
    }

    pub(super) fn get(&self, id: u32) -> Option<RawType<'a>> {
        let at = *self.starts.get(id.checked_sub(self.first_id)? as usize)?;
        self.type_at(at as usize)
    }

    /// From the string on to the end of all strings.
    pub(super) fn text(&self, offset: u32) -> Option<&'a [u8]> {
        self.strings
            .get(offset.checked_sub(self.first_string)? as usize..)
    }

    /// All its types of one kind, with their ids.
    pub(super) fn of_kind(&self, kind: u32) -> impl Iterator<Item = (u32, RawType<'a>)> {
        let types = (self.first_id..).zip(&self.starts);
        types
            .filter_map(|(id, at)| Some((id, self.type_at(*at as usize)?)))
            .filter(move |(_, found)| found.kind == kind)
    }

    fn type_at(&self, at: usize) -> Option<RawType<'a>> {
        let info = word(self.types, at + 4)?;
        Some(RawType {
            name: word(self.types, at)?,
            kind: kind_of(info),
            count: count_of(info),
            has_bitfields: info >> 31 == 1,
            operand: word(self.types, at + 8)?,
            tail: self.types.get(at + TYPE..)?,
        })
    }
}

/// What the header's field at `field` and the one after it, an offset and a length, point to.
fn section(data: &[u8], field: usize) -> Option<&[u8]> {
    let value = |at| word(data, at).map(|value| value as usize);
    let header = value(4).filter(|length| *length >= HEADER)?;
    let start = header.checked_add(value(field)?)?;
    data.get(start..start.checked_add(value(field + 4)?)?)
}

fn starts(types: &[u8]) -> Option<Vec<u32>> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at < types.len() {
        starts.push(u32::try_from(at).ok()?);
        let info = word(types, at + 4)?;
        at += TYPE + tail_bytes(kind_of(info), count_of(info))?;
    }
    (at == types.len()).then_some(starts)
}

fn tail_bytes(kind: u32, count: usize) -> Option<usize> {
    match kind {
        kind::INT | kind::VAR | kind::DECL_TAG => Some(4),
        kind::ARRAY => Some(12),
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => Some(12 * count),
        kind::ENUM | kind::FUNC_PROTO => Some(8 * count),
        1..=kind::ENUM64 => Some(0),
        _ => None,
    }
}

fn kind_of(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn count_of(info: u32) -> usize {
    (info & 0xffff) as usize
}
