//! One file of BTF: its header, its types, its texts.

use super::source::{Section, Source};
use super::{Malformed, kind};

const MAGIC: u16 = 0xeb9f;
const HEADER: u32 = 24;
/// Bytes of a type before what belongs to its kind.
const TYPE: u32 = 12;
/// Where a type begins is kept of each so-manieth.
const STRIDE: u32 = 32;
/// The kernel's own is some 5 to 12 MiB.
const MAX_BYTES: u64 = 64 << 20;
/// KVM's own bound of a statistic's name is 48, C's of a name 63.
pub(super) const MAX_NAME: u32 = 64;

/// Ids and texts are numbered on from one file to the next: a module's refer to the kernel's.
pub(super) struct Layer<'a> {
    types: Section<'a>,
    texts: Section<'a>,
    starts: Vec<u32>,
    count: u32,
    pub(super) first_id: u32,
    pub(super) first_text: u32,
}

/// A type as it lies in the file.
#[derive(Clone, Copy)]
pub(super) struct RawType {
    pub(super) name: u32,
    pub(super) kind: u32,
    /// Of members, or of what else the kind has.
    pub(super) count: u32,
    pub(super) has_bitfields: bool,
    /// A size, or another type's id.
    pub(super) operand: u32,
    /// Where what belongs to the kind begins.
    pub(super) tail: u32,
}

impl<'a> Layer<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        first_id: u32,
        first_text: u32,
    ) -> Result<Self, Malformed> {
        let unreadable = |_| Malformed("it cannot be read");
        if source.size().map_err(unreadable)? > MAX_BYTES {
            return Err(Malformed("it is larger than 64 MiB"));
        }
        let mut header = [0; HEADER as usize];
        source
            .read_at(0, &mut header)
            .map_err(|_| Malformed("it has no header"))?;
        if header[..2] != MAGIC.to_ne_bytes() || header[2] != 1 {
            return Err(Malformed(
                "it has no header of version 1 in this machine's byte order",
            ));
        }
        let types = section(source, &header, 8).ok_or(Malformed("its types reach past its end"))?;
        let texts =
            section(source, &header, 16).ok_or(Malformed("its texts reach past its end"))?;
        Ok(Self {
            types,
            texts,
            starts: Vec::new(),
            count: 0,
            first_id,
            first_text,
        })
    }

    /// Goes over all types, and shows each with its id.
    pub(super) fn index(&mut self, mut show: impl FnMut(u32, RawType)) -> Result<(), Malformed> {
        let unknown = Malformed("a type is cut short, or of a kind that is not known here");
        let mut at = 0;
        while at < self.types.length {
            if self.count.is_multiple_of(STRIDE) {
                self.starts.push(at);
            }
            let found = self.type_at(at).ok_or(unknown)?;
            show(self.first_id.checked_add(self.count).ok_or(unknown)?, found);
            at = found.end().ok_or(unknown)?;
            self.count += 1;
        }
        if at == self.types.length {
            Ok(())
        } else {
            Err(unknown)
        }
    }

    /// The first id and text of what comes on top.
    pub(super) fn next(&self) -> Option<(u32, u32)> {
        let first_id = self.first_id.checked_add(self.count)?;
        Some((first_id, self.first_text.checked_add(self.texts.length)?))
    }

    pub(super) fn get(&self, id: u32) -> Option<RawType> {
        let number = id
            .checked_sub(self.first_id)
            .filter(|number| *number < self.count)?;
        let mut at = *self.starts.get((number / STRIDE) as usize)?;
        for _ in 0..number % STRIDE {
            at = self.type_at(at)?.end()?;
        }
        self.type_at(at)
    }

    /// A word of what belongs to a type's kind.
    pub(super) fn word(&self, at: u32) -> Option<u32> {
        self.types.word(at)
    }

    /// Shows a text; `None` if it is longer than 64 bytes.
    pub(super) fn text<T>(&self, offset: u32, show: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let at = offset.checked_sub(self.first_text)?;
        let shown = self.texts.with(at, MAX_NAME + 1, |bytes| {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            Some(show(&bytes[..end]))
        });
        shown.flatten()
    }

    /// Goes over all texts of up to 64 bytes, and shows each with its number.
    pub(super) fn for_each_text(&self, mut show: impl FnMut(u32, &[u8])) {
        let mut at = 0;
        while at < self.texts.length {
            let length = self.texts.with(at, MAX_NAME + 1, |bytes| {
                let end = bytes.iter().position(|byte| *byte == 0);
                if let (Some(end), Some(offset)) = (end, self.first_text.checked_add(at)) {
                    show(offset, &bytes[..end]);
                }
                end.map_or(bytes.len(), |end| end + 1)
            });
            let Some(length) = length.and_then(|length| u32::try_from(length).ok()) else {
                return;
            };
            at += length;
        }
    }

    fn type_at(&self, at: u32) -> Option<RawType> {
        let info = self.types.word(at.checked_add(4)?)?;
        Some(RawType {
            name: self.types.word(at)?,
            kind: info >> 24 & 0x1f,
            count: info & 0xffff,
            has_bitfields: info >> 31 == 1,
            operand: self.types.word(at.checked_add(8)?)?,
            tail: at.checked_add(TYPE)?,
        })
    }
}

impl RawType {
    /// Where the next one begins; `None` for a kind that is not known.
    fn end(&self) -> Option<u32> {
        let tail = match self.kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * self.count,
            kind::ENUM | kind::FUNC_PROTO => 8 * self.count,
            1..=kind::ENUM64 => 0,
            _ => return None,
        };
        self.tail.checked_add(tail)
    }
}

/// What the header's field at `field` and the one after it, an offset and a length, point to.
fn section<'a>(
    source: &'a dyn Source,
    header: &[u8; HEADER as usize],
    field: usize,
) -> Option<Section<'a>> {
    let value = |at: usize| Some(u32::from_ne_bytes(*header.get(at..)?.first_chunk()?));
    let start = value(4)
        .filter(|length| *length >= HEADER)?
        .checked_add(value(field)?)?;
    Section::new(source, u64::from(start), value(field + 4)?)
}
