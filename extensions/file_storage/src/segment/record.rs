//! A record: a request's number and payload, with their length and sum.

/// Bytes before the payload.
pub(crate) const HEAD: usize = 16;

/// A payload takes no more than this.
pub(crate) const MAX_PAYLOAD: usize = 32 << 20;

/// What stands at some place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A request.
    Whole {
        /// Its number.
        request: u64,
        payload: &'a [u8],
    },
    /// The bytes end before the record does, which has so many.
    Torn(usize),
    /// It is not what was written.
    Damaged,
}

/// Fills in a record's head, for which there is room before the payload. Whether it is not too large.
pub(crate) fn seal(request: u64, record: &mut [u8]) -> bool {
    let payload = record.len() - HEAD;
    record[8..HEAD].copy_from_slice(&request.to_le_bytes());
    let sum = crc32c::crc32c(&record[8..]);
    record[4..8].copy_from_slice(&sum.to_le_bytes());
    let length = u32::try_from(payload).ok();
    let length = length.filter(|_| payload <= MAX_PAYLOAD);
    record[..4].copy_from_slice(&length.unwrap_or_default().to_le_bytes());
    length.is_some()
}

/// The record that these bytes begin with.
pub(crate) fn parse(bytes: &[u8]) -> Record<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Record::Torn(HEAD);
    };
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = usize::try_from(number(0)).unwrap_or(usize::MAX);
    if length > MAX_PAYLOAD {
        return Record::Damaged;
    }
    let Some(payload) = rest.get(..length) else {
        return Record::Torn(HEAD + length);
    };
    let sum = crc32c::crc32c_append(crc32c::crc32c(&head[8..]), payload);
    if sum != number(4) || length == 0 {
        return Record::Damaged;
    }
    let request = u64::from(number(8)) | u64::from(number(12)) << 32;
    Record::Whole { request, payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(request: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [&[0; HEAD][..], payload].concat();
        assert!(seal(request, &mut bytes));
        bytes
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_torn_or_flipped_one_never_is() {
        let (request, payload) = (u64::MAX - 7, &b"abc"[..]);
        let bytes = record(request, payload);
        assert_eq!(parse(&bytes), Record::Whole { request, payload });
        for len in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..len]), Record::Torn(_)), "{len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(parse(&flipped), Record::Whole { .. }), "{bit}");
        }
        assert_eq!(parse(&[0; 100]), Record::Damaged, "what was never written");
        assert!(!seal(0, &mut vec![0; HEAD + MAX_PAYLOAD + 1]));
    }
}
