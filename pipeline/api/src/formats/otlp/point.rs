//! One point's bytes: times and values of a fixed width, and what the template knows of its row.

use prost::encoding::{encode_varint, encoded_len_varint};

use crate::data::{Histogram, Value};

/// What a number takes at the most, its attributes apart: tag, length, start, time, value; flags take less than a value.
pub(super) const NUMBER: usize = 1 + 5 + 9 + 9 + 9;
/// What a histogram takes more, its bounds and counts apart: count, sum, minimum, maximum, and the counts' tag and length.
pub(super) const HISTOGRAM: usize = 9 + 9 + 9 + 9 + 1 + 5;

/// Fields of at most so many bytes.
struct Fields {
    bytes: [u8; HISTOGRAM + NUMBER],
    len: usize,
}

impl Fields {
    fn new() -> Fields {
        Fields {
            bytes: [0; HISTOGRAM + NUMBER],
            len: 0,
        }
    }

    /// A field of eight bytes, by its tag.
    fn fixed(&mut self, tag: u8, bytes: [u8; 8]) {
        self.bytes[self.len] = tag;
        self.bytes[self.len + 1..self.len + 9].copy_from_slice(&bytes);
        self.len += 9;
    }

    /// `start_time_unix_nano` = 2 and `time_unix_nano` = 3, the same in every kind of point.
    fn times(&mut self, start: u64, time: u64) {
        if start != 0 {
            self.fixed(0x11, start.to_le_bytes());
        }
        self.fixed(0x19, time.to_le_bytes());
    }

    /// `flags`, a varint, by its tag: NO_RECORDED_VALUE.
    fn ended(&mut self, tag: u8) {
        self.bytes[self.len..self.len + 2].copy_from_slice(&[tag, 1]);
        self.len += 2;
    }

    /// Begins the point, field 1 of its metric, of which `more` bytes follow.
    fn begin(&self, more: usize, out: &mut Vec<u8>) {
        out.push(0x0a);
        encode_varint((self.len + more) as u64, out);
        out.extend_from_slice(&self.bytes[..self.len]);
    }
}

/// A `NumberDataPoint`; nothing for a value that is none.
pub(super) fn number(value: &Value, start: u64, time: u64, attributes: &[u8], out: &mut Vec<u8>) {
    let mut fields = Fields::new();
    fields.times(start, time);
    match value {
        Value::Int(it) => fields.fixed(0x31, it.to_le_bytes()), // as_int = 6, sfixed64
        Value::Double(it) => fields.fixed(0x21, it.to_le_bytes()), // as_double = 4, double
        Value::Ended => fields.ended(0x40),                     // flags = 8
        _ => return,
    }
    fields.begin(attributes.len(), out);
    out.extend_from_slice(attributes); // attributes = 7
}

/// A `HistogramDataPoint` with these `explicit_bounds`; nothing for a value that is none.
pub(super) fn histogram(
    value: &Value,
    start: u64,
    time: u64,
    attributes: &[u8],
    bounds: &[u8],
    out: &mut Vec<u8>,
) {
    let mut fields = Fields::new();
    fields.times(start, time);
    match value {
        Value::Histogram(it) => {
            fields.fixed(0x21, it.count().to_le_bytes()); // count = 4, fixed64
            let Histogram { counts, sum, range } = &**it;
            let mut optional = |tag, value: Option<f64>| {
                if let Some(value) = value {
                    fields.fixed(tag, value.to_le_bytes());
                }
            };
            optional(0x29, *sum); // sum = 5
            optional(0x59, range.map(|(min, _)| min)); // min = 11
            optional(0x61, range.map(|(_, max)| max)); // max = 12
            let packed = 8 * counts.len();
            let counted = 1 + encoded_len_varint(packed as u64) + packed;
            fields.begin(counted + bounds.len() + attributes.len(), out);
            out.push(0x32); // bucket_counts = 6, fixed64
            encode_varint(packed as u64, out);
            let first = out.len();
            out.resize(first + packed, 0);
            let places = out[first..].chunks_exact_mut(8).zip(counts);
            places.for_each(|(place, count)| place.copy_from_slice(&count.to_le_bytes()));
            out.extend_from_slice(bounds);
            out.extend_from_slice(attributes); // attributes = 9
        }
        Value::Ended => {
            fields.ended(0x50); // flags = 10
            fields.begin(attributes.len(), out);
            out.extend_from_slice(attributes);
        }
        _ => {}
    }
}
