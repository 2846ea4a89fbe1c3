//! One point's bytes: times and values of a fixed width, and what the template knows of its row.

use prost::encoding::{encode_varint, encoded_len_varint};

use crate::data::{Histogram, Value};

/// What a number of eight bytes takes, with its tag.
const FIXED: usize = 9;
/// What a number takes at the most, its attributes apart: tag, length, start, time, value; flags take less than a value.
pub(super) const NUMBER: usize = 1 + 5 + 3 * FIXED;
/// What a histogram takes more, its bounds and counts apart: count, sum, minimum, maximum, and the counts' tag and length.
pub(super) const HISTOGRAM: usize = 4 * FIXED + 1 + 5;

/// A `NumberDataPoint`; nothing for a value that is none.
pub(super) fn number(value: &Value, start: u64, time: u64, attributes: &[u8], out: &mut Vec<u8>) {
    let (tag, bytes) = match value {
        Value::Int(it) => (0x31, it.to_le_bytes()), // as_int = 6, sfixed64
        Value::Double(it) => (0x21, it.to_le_bytes()), // as_double = 4, double
        Value::Ended => return ended(0x40, start, time, attributes, out), // flags = 8
        _ => return,
    };
    begin(start, time, FIXED + attributes.len(), out);
    fixed(tag, bytes, out);
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
    let it = match value {
        Value::Histogram(it) => it,
        Value::Ended => return ended(0x50, start, time, attributes, out), // flags = 10
        _ => return,
    };
    let Histogram { counts, sum, range } = &**it;
    let packed = 8 * counts.len();
    let counted = 1 + encoded_len_varint(packed as u64) + packed;
    let optional = usize::from(sum.is_some()) + 2 * usize::from(range.is_some());
    let numbers = (1 + optional) * FIXED;
    let more = numbers + counted + bounds.len() + attributes.len();
    begin(start, time, more, out);
    fixed(0x21, it.count().to_le_bytes(), out); // count = 4, fixed64
    if let Some(sum) = sum {
        fixed(0x29, sum.to_le_bytes(), out); // sum = 5
    }
    if let Some((min, max)) = range {
        fixed(0x59, min.to_le_bytes(), out); // min = 11
        fixed(0x61, max.to_le_bytes(), out); // max = 12
    }
    out.push(0x32); // bucket_counts = 6, fixed64
    encode_varint(packed as u64, out);
    let first = out.len();
    out.resize(first + packed, 0);
    let places = out[first..].chunks_exact_mut(8).zip(counts);
    places.for_each(|(place, count)| place.copy_from_slice(&count.to_le_bytes()));
    out.extend_from_slice(bounds);
    out.extend_from_slice(attributes); // attributes = 9
}

/// A point that says that its series has ended: `flags`, a varint, by its tag: NO_RECORDED_VALUE.
fn ended(tag: u8, start: u64, time: u64, attributes: &[u8], out: &mut Vec<u8>) {
    begin(start, time, 2 + attributes.len(), out);
    out.extend_from_slice(&[tag, 1]);
    out.extend_from_slice(attributes);
}

/// Begins a point, field 1 of its metric, of which `more` bytes follow: `start_time_unix_nano` = 2 and `time_unix_nano` = 3,
/// the same in every kind of point.
fn begin(start: u64, time: u64, more: usize, out: &mut Vec<u8>) {
    let times = if start == 0 { FIXED } else { 2 * FIXED };
    out.push(0x0a);
    encode_varint((times + more) as u64, out);
    if start != 0 {
        fixed(0x11, start.to_le_bytes(), out);
    }
    fixed(0x19, time.to_le_bytes(), out);
}

/// A field of eight bytes, by its tag. Each goes where it belongs at once: what is put together in small pieces and copied as
/// a whole has to wait for the pieces.
fn fixed(tag: u8, bytes: [u8; 8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&bytes);
}
