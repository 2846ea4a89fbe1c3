//! The time before a receiver's first sweep.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// The time before a receiver's first sweep: `10s`, or `{random: 10s}`, of which the program draws a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum InitialDelay {
    /// So long.
    Fixed(Duration),
    /// A random time, so that hosts that start together do not sweep and send together from then on.
    Random {
        /// It is less than this.
        random: Duration,
    },
}

impl InitialDelay {
    /// How long it is; `part` is of a random one's longest time, from 0 to 1.
    pub(crate) fn at(self, part: impl FnOnce() -> f64) -> std::time::Duration {
        match self {
            InitialDelay::Fixed(delay) => delay.0,
            InitialDelay::Random { random } => random.0.mul_f64(part().clamp(0.0, 1.0)),
        }
    }
}

/// None.
impl Default for InitialDelay {
    fn default() -> InitialDelay {
        InitialDelay::Fixed(Duration::default())
    }
}

impl<'de> Deserialize<'de> for InitialDelay {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<InitialDelay, D::Error> {
        struct DelayVisitor;

        impl<'de> Visitor<'de> for DelayVisitor {
            type Value = InitialDelay;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `10s`, or `{random: 10s}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<InitialDelay, E> {
                Duration::deserialize(text.into_deserializer()).map(InitialDelay::Fixed)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<InitialDelay, E> {
                Duration::deserialize(number.into_deserializer()).map(InitialDelay::Fixed)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InitialDelay, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Random {
                    random: Duration,
                }
                let Random { random } = Random::deserialize(MapAccessDeserializer::new(map))?;
                Ok(InitialDelay::Random { random })
            }
        }

        from.deserialize_any(DelayVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<InitialDelay, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_a_duration_or_a_random_one_and_is_written_as_it_is_read() {
        for json in [r#""0s""#, r#""1.5s""#, r#"{"random":"60s"}"#] {
            let delay = read(json).unwrap();
            assert_eq!(serde_json::to_string(&delay).unwrap(), json);
        }
        for wrong in [
            r#""random""#,
            r#"{"random":"x"}"#,
            "{}",
            "10",
            "null",
            r#"{"random":"1s","fixed":"1s"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_random_one_is_a_part_of_the_longest_and_a_fixed_one_is_itself() {
        let seconds = std::time::Duration::from_secs;
        let (fixed, random) = (
            read(r#""60s""#).unwrap(),
            read(r#"{"random":"60s"}"#).unwrap(),
        );
        for (part, expected) in [(0.0, 0), (0.25, 15), (1.0, 60)] {
            assert_eq!(random.at(|| part), seconds(expected));
            assert_eq!(fixed.at(|| part), seconds(60));
        }
        let none = read(r#"{"random":"0s"}"#).unwrap();
        assert_eq!(none.at(|| 0.9), seconds(0));
    }
}
