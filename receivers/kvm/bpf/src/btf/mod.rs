//! Where the kernel keeps the members of its structs: as much of BTF (the kernel's type information, below
//! `/sys/kernel/btf/`) as it takes to answer that, of the kernel and of one module on top of it.
//!
//! The format is <https://docs.kernel.org/bpf/btf.html>. Each read is bounded; what is malformed gives an error or
//! `None`, never a panic; besides 4 bytes for each type nothing is kept.

mod counters;
mod layer;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::counters::Statistic;
pub(crate) use self::layer::MAX_BYTES;
use self::layer::{Layer, RawType};

/// Typedefs of typedefs, structs in structs: more than the kernel has.
const MAX_DEPTH: usize = 32;
/// Members that are looked at for one answer: types that hold themselves end here.
const MAX_STEPS: u32 = 1 << 13;
/// KVM's own bound of a statistic's name is 48.
const MAX_NAME: usize = 64;

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Why some bytes are not BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Where a member lies in its struct, and its size: in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// From the struct's begin.
    pub offset: u32,
    /// Of the member.
    pub size: u32,
    type_id: u32,
}

/// The kernel's types, with a module's on top.
#[derive(Debug)]
pub(crate) struct Btf<'a> {
    layers: Vec<Layer<'a>>,
}

struct RawMember<'a> {
    name: &'a [u8],
    type_id: u32,
    offset: u32,
}

impl<'a> Btf<'a> {
    /// Of `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    ///
    /// What is not BTF, or has kinds of types that are newer than this reader.
    pub(crate) fn parse(kernel: &'a [u8]) -> Result<Self, Malformed> {
        let layers = vec![Layer::parse(kernel, 1, 0)?];
        Ok(Self { layers })
    }

    /// Adds a module's, of `/sys/kernel/btf/<module>`, whose types are found before the kernel's.
    ///
    /// # Errors
    ///
    /// As [`Btf::parse`].
    pub(crate) fn add_module(&mut self, module: &'a [u8]) -> Result<(), Malformed> {
        let next = self.layers.last().and_then(Layer::next);
        let (first_id, first_string) = next.ok_or(Malformed("there is too much below it"))?;
        self.layers
            .push(Layer::parse(module, first_id, first_string)?);
        Ok(())
    }

    /// Whether there is a struct of this name.
    #[must_use]
    pub(crate) fn has_struct(&self, name: &str) -> bool {
        self.struct_id(name).is_some()
    }

    /// The number of a function.
    #[must_use]
    pub(crate) fn function(&self, name: &str) -> Option<u32> {
        self.named(kind::FUNC, name)
    }

    /// A member of a struct. `path` leads through structs in structs (`f_path.dentry`), not through pointers; members
    /// of unnamed structs and unions are found as C finds them.
    #[must_use]
    pub(crate) fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let (mut type_id, mut offset) = (self.struct_id(structure)?, 0_u32);
        for name in path.split('.') {
            let inner = self.resolve(type_id)?;
            let found = self.find(inner, name.as_bytes(), MAX_DEPTH, &mut { MAX_STEPS })?;
            (type_id, offset) = (found.type_id, offset.checked_add(found.offset)?);
        }
        Some(Member {
            offset,
            size: self.size(type_id, MAX_DEPTH)?,
            type_id,
        })
    }

    fn get(&self, id: u32) -> Option<RawType<'a>> {
        let mut layers = self.layers.iter().rev();
        layers.find(|layer| layer.first_id <= id)?.get(id)
    }

    fn text(&self, offset: u32) -> Option<&'a [u8]> {
        let mut layers = self.layers.iter().rev();
        layers
            .find(|layer| layer.first_string <= offset)?
            .text(offset)
    }

    fn struct_id(&self, name: &str) -> Option<u32> {
        self.named(kind::STRUCT, name)
    }

    fn named(&self, kind: u32, name: &str) -> Option<u32> {
        self.layers.iter().rev().find_map(|layer| {
            let mut structs = layer.of_kind(kind);
            structs.find_map(|(id, found)| {
                is_text(self.text(found.name)?, name.as_bytes()).then_some(id)
            })
        })
    }

    /// Behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let found = self.get(id)?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.operand
                }
                _ => return Some(id),
            }
        }
        None
    }

    fn size(&self, id: u32, depth: usize) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        let found = self.get(self.resolve(id)?)?;
        match found.kind {
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::FLOAT | kind::ENUM64 => {
                Some(found.operand)
            }
            kind::PTR => u32::try_from(size_of::<usize>()).ok(),
            kind::ARRAY => self
                .size(word(found.tail, 0)?, depth)?
                .checked_mul(word(found.tail, 8)?),
            _ => None,
        }
    }

    /// Without bit-fields.
    fn members(&self, of: &RawType<'a>) -> impl Iterator<Item = RawMember<'a>> {
        let count = if matches!(of.kind, kind::STRUCT | kind::UNION) {
            of.count
        } else {
            0
        };
        let has_bitfields = of.has_bitfields;
        of.tail.chunks_exact(12).take(count).filter_map(move |raw| {
            let place = word(raw, 8)?;
            let (bits, width) = if has_bitfields {
                (place & 0xff_ffff, place >> 24)
            } else {
                (place, 0)
            };
            let name = until_nul(self.text(word(raw, 0)?)?)?;
            let is_bitfield = width != 0 || bits % 8 != 0;
            (!is_bitfield).then_some(RawMember {
                name,
                type_id: word(raw, 4)?,
                offset: bits / 8,
            })
        })
    }

    fn find(&self, id: u32, name: &[u8], depth: usize, steps: &mut u32) -> Option<RawMember<'a>> {
        let depth = depth.checked_sub(1)?;
        for member in self.members(&self.get(id)?) {
            *steps = steps.checked_sub(1)?;
            if member.name == name {
                return Some(member);
            }
            let unnamed = member
                .name
                .is_empty()
                .then(|| self.resolve(member.type_id))
                .flatten();
            if let Some(found) = unnamed.and_then(|inner| self.find(inner, name, depth, steps)) {
                let offset = member.offset.checked_add(found.offset)?;
                return Some(RawMember { offset, ..found });
            }
        }
        None
    }
}

/// Whether the text that begins here and ends with a NUL is this one.
fn is_text(text: &[u8], wanted: &[u8]) -> bool {
    text.strip_prefix(wanted)
        .is_some_and(|rest| rest.first() == Some(&0))
}

fn until_nul(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().take(MAX_NAME + 1).position(|byte| *byte == 0)?;
    text.get(..end)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}
