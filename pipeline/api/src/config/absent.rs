//! Numbers that stand for no value.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::data::Value;

/// Numbers that say that there is no value: `[-1, "0xffffffffffffffff"]`. Hexadecimal ones stand in quotes. Compared as
/// values are: a whole number beyond `i64` as the nearest double.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AbsentValues(Arc<[Number]>);

/// A number as [`Value`] has it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Int(i64),
    Double(f64),
}

impl AbsentValues {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this value is one of them.
    #[must_use]
    pub fn contains(&self, value: &Value) -> bool {
        self.0.iter().any(|number| number.is(value))
    }

    /// All of them, as they are printed.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|number| match number {
            Number::Int(it) => it.to_string(),
            Number::Double(it) => it.to_string(),
        })
    }
}

impl Number {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    #[allow(clippy::float_cmp)] // a value is none where it is the very same
    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Number::Int(a), Value::Int(b)) => a == *b,
            (Number::Double(a), Value::Double(b)) => a == *b,
            (Number::Int(int), Value::Double(double)) => {
                int as f64 == *double && *double as i64 == int
            }
            (Number::Double(double), Value::Int(int)) => {
                *int as f64 == double && double as i64 == *int
            }
            _ => false,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn unsigned(it: u64) -> Number {
        i64::try_from(it).map_or(Number::Double(it as f64), Number::Int)
    }

    fn parse(text: &str) -> Option<Number> {
        let hexadecimal = text.strip_prefix("0x").or(text.strip_prefix("0X"));
        if let Some(digits) = hexadecimal {
            let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u64::from_str_radix(digits, 16).ok();
            return number.filter(|_| is_hexadecimal).map(Number::unsigned);
        }
        if let Ok(it) = text.parse() {
            return Some(Number::Int(it));
        }
        let double = text.parse::<f64>().ok().filter(|it| it.is_finite());
        double.map(Number::Double)
    }
}

impl<'de> Deserialize<'de> for AbsentValues {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<AbsentValues, D::Error> {
        Vec::deserialize(from).map(|numbers| AbsentValues(numbers.into()))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as `-1`, or in quotes `\"0xffffffffffffffff\"`")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Int(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number::unsigned(number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number::Double(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                Number::parse(text).ok_or_else(|| E::custom(format!("`{text}` is not a number; it is written like `-1`, or in quotes `\"0xffffffffffffffff\"`")))
            }
        }
        from.deserialize_any(NumberVisitor)
    }
}

impl Serialize for AbsentValues {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Number::Int(it) => to.serialize_i64(*it),
            Number::Double(it) => to.serialize_f64(*it),
        }
    }
}

impl JsonSchema for AbsentValues {
    fn schema_name() -> Cow<'static, str> {
        "AbsentValues".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": { "type": ["number", "string"] }, "examples": [[-1, "0xffffffffffffffff"]] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_compared_as_a_value_has_it() {
        let absent: AbsentValues = serde_json::from_str(
            r#"[-1, "0xffffffffffffffff", 18446744073709551615, 9223372036854771712, "1.5"]"#,
        )
        .unwrap();
        for is in [
            Value::Int(-1),
            Value::Double(-1.0),
            Value::Double(18_446_744_073_709_551_615.0),
            Value::Int(9_223_372_036_854_771_712),
            Value::Double(1.5),
        ] {
            assert!(absent.contains(&is), "{is:?}");
        }
        for is_not in [
            Value::Int(1),
            Value::Int(i64::MAX),
            Value::Int(9_223_372_036_854_771_711),
            Value::Double(f64::NAN),
            Value::Absent,
            Value::Ended,
        ] {
            assert!(!absent.contains(&is_not), "{is_not:?}");
        }
        let again = serde_json::to_string(&absent).unwrap();
        assert_eq!(
            serde_json::from_str::<AbsentValues>(&again).unwrap(),
            absent
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["\"max\"", "\"0x\"", "\"0x+1\"", "\"inf\"", "true", "\"\""] {
            let parsed = serde_json::from_str::<AbsentValues>(&format!("[{text}]"));
            assert!(parsed.is_err(), "{text}");
        }
    }
}
