//! Names of files as names of metrics and as label values.

use std::fmt::Write;

/// A name of the tree as text: bytes that are not UTF-8 become `%XX`, and then `%` becomes `%25`, so that no two
/// names become one.
pub(crate) fn escape(raw: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(raw) {
        return text.to_owned();
    }
    let mut out = String::new();
    for chunk in raw.utf8_chunks() {
        out.push_str(&chunk.valid().replace('%', "%25"));
        chunk
            .invalid()
            .iter()
            .for_each(|byte| _ = write!(out, "%{byte:02X}"));
    }
    out
}

/// The maximum length of a metric's name
/// ([OpenTelemetry: instrument name syntax](https://opentelemetry.io/docs/specs/otel/metrics/api/#instrument-name-syntax)).
const MAX_NAME_BYTES: usize = 255;

/// A metric's name of at most 255 bytes: a longer one keeps its first 246 at a character's edge, then `~` and its
/// crc32c in 8 hexadecimal digits.
pub(crate) fn shorten(name: String) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name;
    }
    let cut = (0..=MAX_NAME_BYTES - 9)
        .rev()
        .find(|at| name.is_char_boundary(*at))
        .unwrap_or_default();
    format!("{}~{:08x}", &name[..cut], crc32c::crc32c(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_apart() {
        assert_eq!(escape(b"100%"), "100%", "what is UTF-8 stays as it is");
        assert_eq!(escape(b"n_\xff\xfe_100%"), "n_%FF%FE_100%25");
        let long = |last: &str| shorten(format!("s/{}{last}", "é".repeat(200)));
        assert_eq!(long("a").len(), 255);
        assert!(long("a") != long("b"));
        assert!(
            long("a").starts_with(&format!("s/{}~", "é".repeat(122))),
            "{}",
            long("a")
        );
        assert_eq!(shorten("x".repeat(255)), "x".repeat(255));
    }

    #[test]
    fn no_two_names_that_are_not_utf8_become_one() {
        const BYTES: &[u8] = b"%FfE2510\xff\xfe\xc3\xa9a";
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut seen = std::collections::HashMap::new();
        for _ in 0..100_000 {
            let raw: Vec<u8> = (0..random.usize(1..5))
                .map(|_| BYTES[random.usize(..BYTES.len())])
                .collect();
            let text = escape(&raw);
            assert!(shorten(text.repeat(90)).len() <= 255, "seed {seed}");
            if std::str::from_utf8(&raw).is_err() {
                let before = seen.insert(text.clone(), raw.clone());
                assert!(
                    before.is_none_or(|before| before == raw),
                    "seed {seed}: {text}"
                );
            }
        }
    }
}
