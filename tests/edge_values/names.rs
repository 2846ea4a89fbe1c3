//! Odd names of files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::common;

/// Names that are not UTF-8, long, or full of characters that mean something elsewhere.
pub(super) fn odd_names(s: &Path) -> Vec<String> {
    let mut expected = Vec::new();
    let mut name = |raw: &[u8], line: String| {
        fs::write(s.join(OsStr::from_bytes(raw)), "1\n").unwrap();
        expected.push(format!("{line} 1 gauge"));
    };
    name(b"n_\xff\xfe_latin", "s/n_%FF%FE_latin{device=\"\"}".into());
    name(b"n_\xff100%", "s/n_%FF100%25{device=\"\"}".into());
    name(b"n_100%", "s/n_100%{device=\"\"}".into());
    for odd in [
        "n space",
        "n:colon",
        "n_new\nline",
        "n\"quotes\"",
        "n{braces}",
        "n,comma",
        "n=equals",
        "n\\back",
    ] {
        let quoted = odd != "n:colon";
        let line = format!("s/{odd}");
        let line = if quoted {
            serde_json::Value::from(line).to_string()
        } else {
            line
        };
        name(odd.as_bytes(), format!("{line}{{device=\"\"}}"));
    }
    for plain in ["n-dash", "n_dash", "N_upper", "n_upper"] {
        name(plain.as_bytes(), format!("s/{plain}{{device=\"\"}}"));
    }
    for long in ["x".repeat(253), "é".repeat(126)] {
        let long = format!("n_{long}");
        let whole = format!("s/{long}");
        let (begin, sum) = (&whole[..246], crc32c(whole.as_bytes()));
        let line = format!("{begin}~{sum:08x}{{device=\"\"}}");
        name(long.as_bytes(), line);
    }
    expected
}

/// CRC-32C bit by bit (RFC 3720, appendix B.4): a second implementation, to hold the program's own to.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn names_that_are_spelt_the_same_as_text_are_one_series() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("s")).unwrap();
    fs::write(directory.path().join("s/n_%FF"), "1\n").unwrap();
    fs::write(
        directory
            .path()
            .join("s")
            .join(OsStr::from_bytes(b"n_\xff")),
        "2\n",
    )
    .unwrap();
    let root = format!("{{root: {}}}", directory.path().display());
    assert_eq!(
        common::once(&root, "batch: {}"),
        ["s/n_%FF{device=\"\"} 1"],
        "the first in path order"
    );
}
