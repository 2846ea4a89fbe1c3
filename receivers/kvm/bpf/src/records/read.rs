//! Reading the iterator to its end.

use std::io::{self, ErrorKind, Read};

use super::{RawRecord, Sizes, parse};
use crate::PassError;

/// After a million files without a record the kernel gives EAGAIN, and goes on at the next read.
const MAX_EMPTY_READS: usize = 1024;

/// Shows each record. `buffer` holds the largest one and more: a read may end in the middle of one.
pub(crate) fn read_records(
    mut source: impl Read,
    buffer: &mut [u8],
    sizes: Sizes,
    mut show: impl FnMut(&RawRecord<'_>),
) -> Result<(), PassError> {
    let mut filled = 0;
    loop {
        let read = read(&mut source, &mut buffer[filled..])?;
        filled += read;
        let mut used = 0;
        while let Some(record) = parse(&buffer[used..filled], sizes)? {
            show(&record);
            used += record.length;
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
        match (read, filled) {
            (0, 0) => return Ok(()),
            (0, _) => return Err(PassError::Malformed("it is cut short")),
            _ => {}
        }
    }
}

/// 0 at the end.
fn read(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut empty = 0;
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && empty < MAX_EMPTY_READS => {
                empty += 1;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SIZES, Written};
    use super::*;

    /// What each read gives; nothing after the last.
    struct Reads(Vec<io::Result<Vec<u8>>>);

    impl Read for Reads {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let bytes = self.0.remove(0)?;
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }

    fn numbers(reads: Vec<io::Result<Vec<u8>>>) -> Result<Vec<Option<u32>>, PassError> {
        let mut seen = Vec::new();
        let show = |record: &RawRecord<'_>| seen.push(record.head.unwrap().vcpu);
        read_records(Reads(reads), &mut [0; 256], SIZES, show)?;
        Ok(seen)
    }

    #[test]
    fn records_are_whole_however_the_reads_cut_them() {
        let bytes: Vec<u8> = (0..5)
            .flat_map(|vcpu| Written::new(3, Some(vcpu), 1).bytes())
            .collect();
        for length in [1, 7, 100, 112, 130] {
            let reads = bytes
                .chunks(length)
                .map(|chunk| Ok(chunk.to_vec()))
                .collect();
            assert_eq!(
                numbers(reads).unwrap(),
                (0..5).map(Some).collect::<Vec<_>>()
            );
        }
        let cut = bytes[..bytes.len() - 1]
            .chunks(100)
            .map(|chunk| Ok(chunk.to_vec()))
            .collect();
        assert!(matches!(
            numbers(cut),
            Err(PassError::Malformed("it is cut short"))
        ));
    }

    #[test]
    fn a_million_files_without_a_record_and_a_signal_are_not_the_end() {
        let again = || Err(ErrorKind::WouldBlock.into());
        let record = || Ok(Written::new(3, Some(7), 1).bytes());
        let reads = vec![
            again(),
            again(),
            record(),
            Err(ErrorKind::Interrupted.into()),
            again(),
            record(),
        ];
        assert_eq!(numbers(reads).unwrap(), [Some(7), Some(7)]);
        let never = (0..=MAX_EMPTY_READS).map(|_| again()).collect();
        assert!(matches!(numbers(never), Err(PassError::Io(_))));
    }
}
