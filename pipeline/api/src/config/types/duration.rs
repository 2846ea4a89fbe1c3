//! Time spans.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::TextVisitor;

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

/// A time span as OpenTelemetry's declarative configuration writes it, in milliseconds: `60000`; or as a [`Duration`]: `60s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Duration);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
        from.deserialize_any(TextVisitor(
            "milliseconds, or a duration such as `10s`",
            |text: &str| {
                let millis = text.parse().ok().map(Duration::from_millis);
                let parsed = millis.or_else(|| Duration::parse(text)).map(Millis);
                parsed.ok_or_else(|| {
                    format!(
                        "`{text}` is neither a number of milliseconds nor a duration such as `10s`"
                    )
                })
            },
        ))
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> Cow<'static, str> {
        "Millis".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "examples": [60000, "60s"] })
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
