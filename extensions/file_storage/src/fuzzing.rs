//! What fuzz targets reach. They know no sums: those are written here, so that what is behind them is reached too.

use std::fs::File;
use std::io::Write;

use crate::codec::Decoder;
use crate::cursor;
use crate::segment::{HEAD, Header, Item, SegmentReader, seal};

/// A segment's file, as it is, or of records that are whole: the first byte says which, and each record begins with its length.
pub fn segment(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else {
        return;
    };
    let content = if how % 2 == 0 {
        bytes.to_vec()
    } else {
        records(bytes)
    };
    let memory = rustix::fs::memfd_create("segment", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(memory.expect("a file in memory"));
    file.write_all(&content).expect("it takes all");
    let Ok(mut reader) = SegmentReader::of(file).expect("it can be read") else {
        return;
    };
    let mut before = reader.position();
    while let Item::Request { at, .. } = reader
        .next(content.len() as u64, |_| true)
        .expect("it can be read")
    {
        assert!(at >= before, "in order");
        before = at;
    }
}

fn records(mut bytes: &[u8]) -> Vec<u8> {
    let start = pipeline::LogPosition::default();
    let mut content = Header {
        start,
        time: 0,
        thinned: 0,
    }
    .to_bytes();
    let mut number = 0;
    while let Some((len, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        let mut record = [&[0; HEAD], payload].concat();
        seal(number, &mut record);
        content.extend_from_slice(&record);
        (bytes, number) = (rest, number + 1);
    }
    content
}

/// The payload of one record.
pub fn request(bytes: &[u8]) {
    let _ = Decoder::default().decode(bytes);
}

/// A cursor's slot: with its sum, it is what it says when it is written again.
pub fn cursor(bytes: &[u8]) {
    let mut slot = [0; cursor::SLOT];
    let len = bytes.len().min(cursor::SLOT - 4);
    slot[..len].copy_from_slice(&bytes[..len]);
    let sum = crc32c::crc32c(&slot[..cursor::SLOT - 4]);
    slot[cursor::SLOT - 4..].copy_from_slice(&sum.to_le_bytes());
    if let Some((generation, read)) = cursor::parse(&slot) {
        let again = cursor::parse(&cursor::to_bytes(generation, &read));
        assert_eq!(again, Some((generation, read)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_take_whatever_comes() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2_000 {
            let mut bytes = vec![0; random.usize(..600)];
            random.fill(&mut bytes);
            segment(&bytes);
            request(&bytes);
            cursor(&bytes);
        }
    }
}
