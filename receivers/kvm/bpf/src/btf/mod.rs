//! Where the kernel keeps the members of its structs: as much of BTF (the kernel's type information, below
//! `/sys/kernel/btf/`) as it takes to answer that, of the kernel and of one module on top of it.
//!
//! The format is <https://docs.kernel.org/bpf/btf.html>. Each read is bounded; what is malformed gives an error or
//! `None`, never a panic. It is read by small windows, and some 20 kB of it are kept: what an allocator once had it may
//! never give back.

mod counters;
mod layer;
mod source;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

pub use self::counters::Statistic;
use self::layer::{Layer, RawType};
pub(crate) use self::source::Source;

/// Typedefs of typedefs, structs in structs: more than the kernel has.
const MAX_DEPTH: usize = 32;
/// Places of one name that are kept: each file has it once.
const MAX_NAMES: usize = 16;
/// Members that are looked at for one answer: types that hold themselves end here.
const MAX_STEPS: u32 = 1 << 13;

pub(crate) mod kind {
    pub(crate) const INT: u32 = 1;
    pub(crate) const PTR: u32 = 2;
    pub(crate) const ARRAY: u32 = 3;
    pub(crate) const STRUCT: u32 = 4;
    pub(crate) const UNION: u32 = 5;
    pub(crate) const ENUM: u32 = 6;
    pub(crate) const TYPEDEF: u32 = 8;
    pub(crate) const VOLATILE: u32 = 9;
    pub(crate) const CONST: u32 = 10;
    pub(crate) const RESTRICT: u32 = 11;
    pub(crate) const FUNC: u32 = 12;
    pub(crate) const FUNC_PROTO: u32 = 13;
    pub(crate) const VAR: u32 = 14;
    pub(crate) const DATASEC: u32 = 15;
    pub(crate) const FLOAT: u32 = 16;
    pub(crate) const DECL_TAG: u32 = 17;
    pub(crate) const TYPE_TAG: u32 = 18;
    pub(crate) const ENUM64: u32 = 19;
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
    pub(crate) offset: u32,
    /// Of the member.
    pub(crate) size: u32,
    type_id: u32,
}

/// What is looked for by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// A struct.
    Struct(&'a str),
    /// A function of the kernel.
    Function(&'a str),
}

/// The kernel's types, with a module's on top.
pub(crate) struct Btf<'a> {
    layers: Vec<Layer<'a>>,
    lookups: Vec<Lookup<'a>>,
}

struct Lookup<'a> {
    named: Named<'a>,
    /// Where its name is among the texts: in those of the kernel, of the module, or of both.
    names: Vec<u32>,
    id: Option<u32>,
}

struct RawMember {
    name: u32,
    type_id: u32,
    offset: u32,
}

impl<'a> Btf<'a> {
    /// Of `/sys/kernel/btf/vmlinux`, with what is going to be looked for.
    ///
    /// # Errors
    ///
    /// What is not BTF, or has kinds of types that are newer than this reader.
    pub(crate) fn new(kernel: &'a dyn Source, names: &[Named<'a>]) -> Result<Self, Malformed> {
        let lookups = names.iter().map(|named| Lookup {
            named: *named,
            names: Vec::new(),
            id: None,
        });
        let mut btf = Self {
            layers: Vec::new(),
            lookups: lookups.collect(),
        };
        btf.add(kernel, 1, 0)?;
        Ok(btf)
    }

    /// Adds a module's, of `/sys/kernel/btf/<module>`, whose types are found before the kernel's.
    ///
    /// # Errors
    ///
    /// As [`Btf::new`].
    pub(crate) fn add_module(&mut self, module: &'a dyn Source) -> Result<(), Malformed> {
        let next = self.layers.last().and_then(Layer::next);
        let (first_id, first_text) = next.ok_or(Malformed("there is too much below it"))?;
        self.add(module, first_id, first_text)
    }

    /// The id of what was named when this was made.
    #[must_use]
    pub(crate) fn id(&self, named: Named<'_>) -> Option<u32> {
        self.lookups.iter().find(|lookup| lookup.named == named)?.id
    }

    /// A member of a struct. `path` leads through structs in structs (`f_path.dentry`), not through pointers; members of
    /// unnamed structs and unions are found as C finds them.
    #[must_use]
    pub(crate) fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let (mut type_id, mut offset) = (self.id(Named::Struct(structure))?, 0_u32);
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

    /// Of several types of one name in a file the first is taken.
    fn add(
        &mut self,
        source: &'a dyn Source,
        first_id: u32,
        first_text: u32,
    ) -> Result<(), Malformed> {
        let mut layer = Layer::new(source, first_id, first_text)?;
        let lookups = &mut self.lookups;
        layer.for_each_text(|offset, text| {
            let named = lookups
                .iter_mut()
                .filter(|lookup| lookup.named.name().as_bytes() == text)
                .filter(|lookup| lookup.names.len() < MAX_NAMES);
            named.for_each(|lookup| lookup.names.push(offset));
        });
        layer.index(|id, found| {
            let is_it = |it: &&mut Lookup<'_>| {
                it.named.kind() == found.kind && it.names.contains(&found.name)
            };
            if let Some(lookup) = lookups.iter_mut().find(is_it) {
                lookup.id = lookup.id.filter(|known| *known >= first_id).or(Some(id));
            }
        })?;
        self.layers.push(layer);
        Ok(())
    }

    fn layer(&self, id: u32) -> Option<&Layer<'a>> {
        self.layers.iter().rev().find(|layer| layer.first_id <= id)
    }

    fn get(&self, id: u32) -> Option<RawType> {
        self.layer(id)?.get(id)
    }

    fn text<T>(&self, offset: u32, show: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut layers = self.layers.iter().rev();
        layers
            .find(|layer| layer.first_text <= offset)?
            .text(offset, show)
    }

    /// Behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let found = self.get(id)?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.operand;
                }
                _ => return Some(id),
            }
        }
        None
    }

    fn size(&self, id: u32, depth: usize) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        let id = self.resolve(id)?;
        let found = self.get(id)?;
        match found.kind {
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::FLOAT | kind::ENUM64 => {
                Some(found.operand)
            }
            kind::PTR => u32::try_from(size_of::<usize>()).ok(),
            kind::ARRAY => {
                let (element, length) = self.array(id, found)?;
                self.size(element, depth)?.checked_mul(length)
            }
            _ => None,
        }
    }

    /// An array's type of elements, and how many it has.
    fn array(&self, id: u32, found: RawType) -> Option<(u32, u32)> {
        let layer = self.layer(id)?;
        Some((
            layer.word(found.tail)?,
            layer.word(found.tail.checked_add(8)?)?,
        ))
    }

    /// Without bit-fields.
    fn members(&self, id: u32) -> impl Iterator<Item = RawMember> {
        let found = self
            .layer(id)
            .and_then(|layer| Some((layer, layer.get(id)?)));
        let found = found.filter(|(_, found)| matches!(found.kind, kind::STRUCT | kind::UNION));
        found.into_iter().flat_map(|(layer, found)| {
            (0..found.count).filter_map(move |number| {
                let at = found.tail.checked_add(12 * number)?;
                let place = layer.word(at.checked_add(8)?)?;
                let (bits, width) = if found.has_bitfields {
                    (place & 0xff_ffff, place >> 24)
                } else {
                    (place, 0)
                };
                let member = RawMember {
                    name: layer.word(at)?,
                    type_id: layer.word(at + 4)?,
                    offset: bits / 8,
                };
                (width == 0 && bits % 8 == 0).then_some(member)
            })
        })
    }

    fn find(&self, id: u32, name: &[u8], depth: usize, steps: &mut u32) -> Option<RawMember> {
        let depth = depth.checked_sub(1)?;
        for member in self.members(id) {
            *steps = steps.checked_sub(1)?;
            if self.text(member.name, |text| text == name) == Some(true) {
                return Some(member);
            }
            let is_unnamed = self.text(member.name, <[u8]>::is_empty) == Some(true);
            let inner = is_unnamed.then(|| self.resolve(member.type_id)).flatten();
            if let Some(found) = inner.and_then(|inner| self.find(inner, name, depth, steps)) {
                let offset = member.offset.checked_add(found.offset)?;
                return Some(RawMember { offset, ..found });
            }
        }
        None
    }
}

impl fmt::Debug for Btf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf").finish_non_exhaustive()
    }
}

impl<'a> Named<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Struct(name) | Self::Function(name) => name,
        }
    }

    fn kind(self) -> u32 {
        match self {
            Self::Struct(_) => kind::STRUCT,
            Self::Function(_) => kind::FUNC,
        }
    }
}
