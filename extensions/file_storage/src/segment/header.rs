//! What a segment begins with.

use std::fmt;

use pipeline::LogPosition;

const MAGIC: [u8; 8] = *b"statsfsq";

/// The format that this version writes. It reads every one from 1 on.
pub(crate) const FORMAT: u32 = if cfg!(file_storage_next_format) { 3 } else { 2 };

/// Whether a log can have come so far: what is beyond was never written, and is not to be reckoned with.
pub(crate) fn is_plausible(at: &LogPosition) -> bool {
    at.requests < 1 << 56 && at.points < 1 << 56
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its first request.
    pub(crate) start: LogPosition,
    /// When it was begun, unix ns.
    pub(crate) time: u64,
    /// How often it was thinned: of 2^n sweeps in a row one is left.
    pub(crate) thinned: u32,
}

/// Why a file is no segment that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// It ends before its header does: the program was killed as it began it.
    Short,
    /// It is something else, or damaged.
    Foreign,
    /// It is of a format that came after this version.
    Newer(u32),
}

impl Header {
    /// Its bytes.
    pub(crate) const LEN: usize = 8 + 4 + 8 + 8 + 8 + 4 + 4;

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        for number in [self.start.requests, self.start.points, self.time] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.thinned.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// The header at a file's beginning. Every format has magic and number where they are now, and its sum behind them.
    pub(crate) fn read(bytes: &[u8]) -> Result<Header, HeaderError> {
        let Some(bytes) = bytes.get(..Header::LEN) else {
            let is_begun = bytes.iter().zip(MAGIC).all(|(a, b)| *a == b);
            return Err(if is_begun {
                HeaderError::Short
            } else {
                HeaderError::Foreign
            });
        };
        let (content, sum) = bytes.split_at(Header::LEN - 4);
        let number = |at: usize, len: usize| {
            let mut number = [0; 8];
            number[..len].copy_from_slice(&content[at..at + len]);
            u64::from_le_bytes(number)
        };
        let format = u32::try_from(number(8, 4)).unwrap_or(u32::MAX);
        let is_whole = sum == crc32c::crc32c(content).to_le_bytes();
        match format {
            _ if content[..8] != MAGIC => Err(HeaderError::Foreign),
            1..=FORMAT if is_whole => {
                let (requests, points) = (number(12, 8), number(20, 8));
                let start = Some(LogPosition { requests, points }).filter(is_plausible);
                let time = number(28, 8);
                let thinned = u32::try_from(number(36, 4)).unwrap_or(u32::MAX);
                let header = start.map(|start| Header {
                    start,
                    time,
                    thinned,
                });
                header.ok_or(HeaderError::Foreign)
            }
            // Its header may be a longer one: only a sum at this place would say that it is damaged.
            newer if newer > FORMAT => Err(HeaderError::Newer(newer)),
            _ => Err(HeaderError::Foreign),
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Short => f.write_str("it ends before its header does"),
            HeaderError::Foreign => f.write_str("it is no segment, or its header is damaged"),
            HeaderError::Newer(format) => write!(
                f,
                "it is of format {format}, which a newer version of this program wrote; this one reads up to {FORMAT}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_what_is_none_is_told_apart() {
        let (requests, points) = (7, 1234);
        let start = LogPosition { requests, points };
        let header = Header {
            start,
            time: 99,
            thinned: 3,
        };
        let bytes = header.to_bytes();
        assert_eq!(bytes.len(), Header::LEN);
        assert_eq!(Header::read(&bytes), Ok(header));
        assert_eq!(Header::read(&[]), Err(HeaderError::Short));
        assert_eq!(Header::read(&bytes[..20]), Err(HeaderError::Short));
        assert_eq!(Header::read(b"#!/bin/sh\n"), Err(HeaderError::Foreign));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Header::read(&flipped).is_err(), "{at}");
        }
        let mut newer = bytes;
        newer[8] = 200;
        assert_eq!(Header::read(&newer), Err(HeaderError::Newer(200)));
    }
}
