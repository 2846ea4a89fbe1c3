//! A message as OTLP JSON ([OTLP: JSON Protobuf encoding](https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding)).
//!
//! serde_json has no word for numbers that are none; proto3 JSON writes them as the texts `NaN`, `Infinity` and `-Infinity`
//! ([ProtoJSON format](https://protobuf.dev/programming-guides/json/#representation-of-each-type)).

use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::to_request;
use crate::data::Batch;

/// The message for these batches on one line, without the line's end.
///
/// # Errors
/// None that is known: what serde_json says.
pub fn to_json(request: &[Batch]) -> Result<String, serde_json::Error> {
    serde_json::to_string(&ProtoJson(&to_request(request)))
}

/// What it holds, and all that is in that, with numbers as proto3 JSON has them. It is around each value, and around the
/// serializer of each value.
struct ProtoJson<T>(T);

impl<T: Serialize + ?Sized> Serialize for ProtoJson<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(ProtoJson(serializer))
    }
}

/// Passes calls on as they are.
macro_rules! pass_on {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)*) => {
        $(fn $name(self, $($arg: $kind),*) -> Result<$out, S::Error> {
            self.0.$name($($arg),*)
        })*
    };
}

impl<S: Serializer> Serializer for ProtoJson<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = ProtoJson<S::SerializeSeq>;
    type SerializeMap = ProtoJson<S::SerializeMap>;
    type SerializeStruct = ProtoJson<S::SerializeStruct>;
    // The messages of OTLP have none of these.
    type SerializeTuple = S::SerializeTuple;
    type SerializeTupleStruct = S::SerializeTupleStruct;
    type SerializeTupleVariant = S::SerializeTupleVariant;
    type SerializeStructVariant = S::SerializeStructVariant;

    fn serialize_f64(self, number: f64) -> Result<S::Ok, S::Error> {
        if number.is_nan() {
            self.0.serialize_str("NaN")
        } else if number.is_finite() {
            self.0.serialize_f64(number)
        } else if number > 0.0 {
            self.0.serialize_str("Infinity")
        } else {
            self.0.serialize_str("-Infinity")
        }
    }

    fn serialize_f32(self, number: f32) -> Result<S::Ok, S::Error> {
        self.serialize_f64(number.into())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&ProtoJson(value))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &ProtoJson(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = &ProtoJson(value);
        self.0
            .serialize_newtype_variant(name, index, variant, value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(ProtoJson)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(len).map(ProtoJson)
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(ProtoJson)
    }

    pass_on! {
        serialize_bool(value: bool) -> S::Ok;
        serialize_i8(value: i8) -> S::Ok;
        serialize_i16(value: i16) -> S::Ok;
        serialize_i32(value: i32) -> S::Ok;
        serialize_i64(value: i64) -> S::Ok;
        serialize_u8(value: u8) -> S::Ok;
        serialize_u16(value: u16) -> S::Ok;
        serialize_u32(value: u32) -> S::Ok;
        serialize_u64(value: u64) -> S::Ok;
        serialize_char(value: char) -> S::Ok;
        serialize_str(value: &str) -> S::Ok;
        serialize_bytes(value: &[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(name: &'static str) -> S::Ok;
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> S::Ok;
        serialize_tuple(len: usize) -> S::SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> S::SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> S::SerializeTupleVariant;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> S::SerializeStructVariant;
    }
}

impl<S: SerializeSeq> SerializeSeq for ProtoJson<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_element(&ProtoJson(value))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

impl<S: SerializeMap> SerializeMap for ProtoJson<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&ProtoJson(value))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

impl<S: SerializeStruct> SerializeStruct for ProtoJson<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), S::Error> {
        self.0.serialize_field(key, &ProtoJson(value))
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        self.0.skip_field(key)
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{AnyValue, Attributes, Bounds, Histogram, Kind, Table, Temporality, Value};
    use crate::formats::text;

    #[test]
    fn what_is_no_number_is_a_text_wherever_it_stands_and_the_rest_is_as_it_was() {
        let parsed =
            &text::parse("s/a 1.5 gauge\ns/b 2 gauge\ns/c end gauge\ns/d 3 gauge").unwrap()[0];
        let mut series = parsed.table().series().to_vec();
        let range = Some((f64::NEG_INFINITY, f64::INFINITY));
        let counts = vec![1];
        series[3].kind = Kind::Histogram {
            bounds: Arc::new(Bounds::default()),
            temporality: Temporality::Cumulative,
        };
        series[0].attributes = Arc::new(Attributes::from_iter([(
            "k",
            AnyValue::Double(f64::INFINITY),
        )]));
        let table = Table::new(Arc::clone(parsed.table().head()), series);
        let sum = Some(f64::NAN);
        let values = vec![
            Value::Double(f64::NAN),
            Value::Double(f64::NEG_INFINITY),
            Value::Ended,
            Value::Histogram(Arc::new(Histogram { counts, sum, range })),
        ];
        let odd = parsed.with_table(table, None).with_values(values);
        let json = to_json(&[odd]).unwrap();
        for expected in [
            r#""doubleValue":"Infinity""#,
            r#""asDouble":"NaN""#,
            r#""asDouble":"-Infinity""#,
            r#""sum":"NaN""#,
            r#""min":"-Infinity""#,
            r#""max":"Infinity""#,
        ] {
            assert!(json.contains(expected), "{expected}: {json}");
        }
        let plain = std::slice::from_ref(parsed);
        let expected = serde_json::to_string(&to_request(plain)).unwrap();
        assert_eq!(to_json(plain).unwrap(), expected);
    }
}
