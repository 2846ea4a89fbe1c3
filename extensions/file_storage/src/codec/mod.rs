//! Requests as bytes, compactly: a table is written once a segment, and then only what it showed, some bytes a point.
//!
//! ```text
//! request     = points before it u64 | its points u64 | its time u64 | length of the definitions u32 | definition… | batch…
//! definition  = 3, its number, table | 4, its number, starts | (format 1, numbered in order) 1, table | 2, table's number, starts
//! table       = resource, scope's name and version, subsystem, slot | metric… | attributes… | (metric, attributes)…
//! starts      = how many (not in format 1) | one difference a row
//! batch       = table | starts | sweep | times | values
//! times       = 0, one | 1, one difference a row (format 1) | 2, differences, behind each of zero how many rows it is of
//! ```
//!
//! Numbers are varints as in protobuf, those with a sign in zigzag; a text is its length and UTF-8. What is read may be
//! anything: nothing is kept for which there is no byte, and all that a batch has to be is checked.

mod read;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub(crate) use read::{Decoder, Envelope};
pub(crate) use write::Encoder;

/// Bytes that cannot be what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

type Decoded<T> = Result<T, Damaged>;

/// What may come in a request's definitions.
const TABLE: u8 = 3;
const STARTS: u8 = 4;

/// The same in format 1, where the first is number 0.
const TABLE_IN_ORDER: u8 = 1;
const STARTS_IN_ORDER: u8 = 2;

/// Bytes before the definitions.
const ENVELOPE: usize = 28;

/// Zigzag: small numbers of either sign are small.
fn zigzag(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// What is read of, from front to back.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| Damaged)
    }

    fn byte(&mut self) -> Decoded<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn bool(&mut self) -> Decoded<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damaged),
        }
    }

    fn u64(&mut self) -> Decoded<u64> {
        prost::encoding::decode_varint(&mut self.0).map_err(|_| Damaged)
    }

    fn i64(&mut self) -> Decoded<i64> {
        self.u64().map(unzigzag)
    }

    fn f64(&mut self) -> Decoded<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// An index into something of this length.
    fn index(&mut self, len: usize) -> Decoded<usize> {
        let index = usize::try_from(self.u64()?).map_err(|_| Damaged)?;
        if index < len { Ok(index) } else { Err(Damaged) }
    }

    /// How many of something follow, each of which takes a byte at least: so never more than there are bytes.
    fn count(&mut self) -> Decoded<usize> {
        let count = usize::try_from(self.u64()?).map_err(|_| Damaged)?;
        if count <= self.0.len() {
            Ok(count)
        } else {
            Err(Damaged)
        }
    }

    fn text(&mut self) -> Decoded<&'a str> {
        let count = self.count()?;
        std::str::from_utf8(self.bytes(count)?).map_err(|_| Damaged)
    }

    /// So many of something.
    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        let count = self.count()?;
        (0..count).map(|_| each(self)).collect()
    }
}

/// Appends to bytes.
trait Output {
    fn u64(&mut self, number: u64);
    fn i64(&mut self, number: i64);
    fn f64(&mut self, number: f64);
    fn count(&mut self, count: usize);
    fn text(&mut self, text: &str);
}

impl Output for Vec<u8> {
    #[inline]
    fn u64(&mut self, number: u64) {
        prost::encoding::encode_varint(number, self);
    }

    fn i64(&mut self, number: i64) {
        Output::u64(self, zigzag(number));
    }

    fn f64(&mut self, number: f64) {
        self.extend_from_slice(&number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        Output::u64(self, count as u64);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.extend_from_slice(text.as_bytes());
    }
}
