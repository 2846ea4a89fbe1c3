//! Types of single values in a configuration. Each refuses what it cannot mean at the place where it is written, and
//! can be written again, so that the schema has the defaults.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::watched::FileReader;

/// A time span as Go and the Collector write it: `1m30s`, `200ms`, `0s`; units are `ns us µs ms s m h`
/// ([Go: `time.ParseDuration`](https://pkg.go.dev/time#ParseDuration)). Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Duration {
        Duration(std::time::Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Duration {
        Duration(std::time::Duration::from_millis(millis))
    }

    fn parse(text: &str) -> Option<Duration> {
        if text == "0" {
            return Some(Duration::default());
        }
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        let mut nanos = 0_f64;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let end = rest
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(rest.len());
            nanos += number
                * match &rest[..end] {
                    "ns" => 1.0,
                    "us" | "µs" | "μs" => 1e3,
                    "ms" => 1e6,
                    "s" => 1e9,
                    "m" => 60e9,
                    "h" => 3600e9,
                    _ => return None,
                };
            rest = &rest[end..];
        }
        // Go's own limit: i64 nanoseconds, 292 years.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (nanos < 9.2e18).then(|| Duration(std::time::Duration::from_nanos(nanos.round() as u64)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s"); // not `0ns`
        }
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_any(TextVisitor(
            "a duration such as `10s`, `1m30s` or `200ms`",
            |text: &str| {
                Duration::parse(text).ok_or_else(|| {
                    format!(
                        "`{text}` is not a duration; it is written like `10s`, `1m30s` or `200ms`"
                    )
                })
            },
        ))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(0|\\+?([0-9]*\\.?[0-9]+(ns|us|µs|ms|s|m|h))+)$", "examples": ["10s", "1m30s", "200ms"] })
    }
}

/// A number of bytes: `4KiB`, `64MB`, `512`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
        from.deserialize_any(TextVisitor("a size such as `4KiB`", |text: &str| {
            let parsed = text
                .parse::<bytesize::ByteSize>()
                .map(|size| ByteSize(size.as_u64()));
            parsed.map_err(|_| {
                format!("`{text}` is not a size; it is written like `4KiB`, `64MB` or `512`")
            })
        }))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "examples": ["4KiB", 4096] })
    }
}

/// Text that is never shown: printed as `[REDACTED]`, in errors and by `print-config` too.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    text: String,
    file: Option<PathBuf>,
}

impl Secret {
    /// The name by which a deserializer knows it.
    pub(crate) const NAME: &str = "pipeline::Secret";

    /// A secret of this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        let (text, file) = (text.into(), None);
        Secret { text, file }
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The text as it is now: that of its file, where it was written as `${file:path}` and nothing else.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub fn read(&self, files: &mut FileReader) -> std::io::Result<Cow<'_, str>> {
        match &self.file {
            None => Ok(Cow::Borrowed(&self.text)),
            Some(path) => files.read_value(path).map(Cow::Owned),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        struct SecretVisitor;

        impl<'de> Visitor<'de> for SecretVisitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                from: D,
            ) -> Result<Secret, D::Error> {
                String::deserialize(from).map(Secret::new)
            }

            /// The text, and the path of the file that it is from.
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Secret, A::Error> {
                let text = parts.next_element()?.unwrap_or_default();
                let file = parts.next_element()?;
                Ok(Secret { text, file })
            }
        }

        from.deserialize_newtype_struct(Secret::NAME, SecretVisitor)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Never its text.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{self:?}"))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A regular expression ([syntax](https://docs.rs/regex/latest/regex/#syntax)). It may match anywhere in a text.
#[derive(Clone, Debug)]
pub struct Regex(pub regex::Regex);

impl Regex {
    fn parse(text: &str) -> Result<Regex, String> {
        regex::Regex::new(text)
            .map(Regex)
            .map_err(|error| match error {
                // The last line says what; those above draw the expression with a mark of its own.
                regex::Error::Syntax(text) => format!(
                    "not a regular expression: {}",
                    text.lines()
                        .last()
                        .unwrap_or_default()
                        .trim_start_matches("error: ")
                ),
                other => format!("not a regular expression: {other}"),
            })
    }
}

impl<'de> Deserialize<'de> for Regex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Regex, D::Error> {
        from.deserialize_str(TextVisitor("a regular expression", Regex::parse))
    }
}

impl Serialize for Regex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.as_str())
    }
}

impl JsonSchema for Regex {
    fn schema_name() -> Cow<'static, str> {
        "Regex".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "regex" })
    }
}

/// A visitor of one text, or of a whole number where the type takes one.
struct TextVisitor<P>(&'static str, P);

impl<T, P: FnOnce(&str) -> Result<T, String>> Visitor<'_> for TextVisitor<P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.1)(&number.to_string()).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        let millis = |text: &str| Duration::parse(text).map(|it| it.0.as_millis());
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("1.5s"), Some(1_500));
        assert_eq!(millis("200ms"), Some(200));
        assert_eq!(millis("0"), Some(0));
        for invalid in [
            "",
            "10",
            "5 s",
            "10sec",
            "-1s",
            "s",
            "1d",
            "1e9h",
            "9999999999h",
            "1..5s",
        ] {
            assert_eq!(millis(invalid), None, "{invalid}");
        }
    }
}
