//! Types of single values in a configuration. Each refuses what it cannot mean at the place where it is written, and
//! can be written again, so that the schema has the defaults.

mod duration;
mod secret;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

pub use duration::{Duration, Millis};
pub use secret::Secret;

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
