//! What segments are called.

use std::io;
use std::path::Path;

const SUFFIX: &str = ".segment";

/// Behind the name of a file that was set aside.
const DAMAGED: &str = ".damaged";

/// So that they sort by number.
const DIGITS: usize = 20;

/// The name of the segment that begins with this request.
pub(crate) fn file_name(request: u64) -> String {
    format!("{request:0DIGITS$}{SUFFIX}")
}

/// The first request of the segment of this name, if it is one's.
pub(crate) fn first_request(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// Renames a damaged file, so that it is kept and no longer read.
pub(crate) fn set_aside(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(DAMAGED);
    std::fs::rename(path, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_no_other_one_is() {
        for number in [0, 7, u64::MAX] {
            assert_eq!(first_request(&file_name(number)), Some(number));
        }
        let ours = file_name(7);
        let damaged = format!("{ours}{DAMAGED}");
        for other in [
            "cursor",
            "7.segment",
            "+0000000000000000007.segment",
            &damaged,
        ] {
            assert_eq!(first_request(other), None, "{other}");
        }
    }
}
