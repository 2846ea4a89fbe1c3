//! A descriptor: what the kernel says of one statistic.

use crate::format::{number, text};

/// What stands before a descriptor's name.
const FIXED_BYTES: usize = 16;

/// What the kernel says of one statistic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// `exits`: as it is, whatever is in it.
    pub name: String,
    /// Its type, unit and base, four bits each.
    pub flags: u32,
    /// The value is in units of the base to this power.
    pub exponent: i16,
    /// How many numbers it has: one, or one a bucket.
    pub size: usize,
    /// Where they begin, in bytes from the start of the data.
    pub offset: usize,
    /// The width of a bucket of a linear histogram.
    pub bucket_size: u32,
}

/// What kind of number a statistic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticType {
    /// It only grows.
    Cumulative,
    /// How much it is now.
    Instant,
    /// The most that it ever was.
    Peak,
    /// Buckets of equal width.
    LinearHistogram,
    /// Buckets that double.
    LogHistogram,
}

/// What a statistic is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticUnit {
    /// Numbers of things.
    None,
    /// Amounts of memory.
    Bytes,
    /// Durations.
    Seconds,
    /// Of a clock.
    Cycles,
    /// 0 or 1.
    Boolean,
}

impl Descriptor {
    /// The length of a descriptor with names of this length.
    #[must_use]
    pub fn bytes(name_bytes: usize) -> usize {
        FIXED_BYTES + name_bytes
    }

    /// Reads one descriptor, whose bytes these are.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Descriptor> {
        let (low, high) = halves(number(bytes, 4)?);
        Some(Descriptor {
            name: text(bytes.get(FIXED_BYTES..)?),
            flags: number(bytes, 0)?,
            exponent: low.cast_signed(),
            size: usize::from(high),
            offset: number(bytes, 8)? as usize,
            bucket_size: number(bytes, 12)?,
        })
    }

    /// Where its numbers end, in bytes from the start of the data.
    #[must_use]
    pub fn end(&self) -> usize {
        self.offset.saturating_add(self.size.saturating_mul(8))
    }

    /// `None`: one that this program does not know.
    #[must_use]
    pub fn statistic_type(&self) -> Option<StatisticType> {
        match self.flags & 0xF {
            0 => Some(StatisticType::Cumulative),
            1 => Some(StatisticType::Instant),
            2 => Some(StatisticType::Peak),
            3 => Some(StatisticType::LinearHistogram),
            4 => Some(StatisticType::LogHistogram),
            _ => None,
        }
    }

    /// `None`: one that this program does not know.
    #[must_use]
    pub fn unit(&self) -> Option<StatisticUnit> {
        match self.flags >> 4 & 0xF {
            0 => Some(StatisticUnit::None),
            1 => Some(StatisticUnit::Bytes),
            2 => Some(StatisticUnit::Seconds),
            3 => Some(StatisticUnit::Cycles),
            4 => Some(StatisticUnit::Boolean),
            _ => None,
        }
    }

    /// 10 or 2. `None`: one that this program does not know.
    #[must_use]
    pub fn base(&self) -> Option<u8> {
        match self.flags >> 8 & 0xF {
            0 => Some(10),
            1 => Some(2),
            _ => None,
        }
    }
}

/// The two halves of four bytes, in the order in which they stand.
fn halves(number: u32) -> (u16, u16) {
    let [a, b, c, d] = number.to_ne_bytes();
    (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]))
}
