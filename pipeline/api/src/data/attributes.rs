//! Labels: OTLP's attributes, shared instead of copied.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The labels of a series or a resource: sorted by key, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(Vec<(Arc<str>, AnyValue)>);

impl Attributes {
    /// The value of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&AnyValue> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    /// Sets a key, whether or not it is there.
    pub fn set(&mut self, key: impl Into<Arc<str>>, value: impl Into<AnyValue>) {
        let (key, value) = (key.into(), value.into());
        match self.find(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// Takes a key out, and gives its value.
    pub fn remove(&mut self, key: &str) -> Option<AnyValue> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    /// All, sorted by key.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &AnyValue)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(have, _)| (**have).cmp(key))
    }
}

impl<K: Into<Arc<str>>, V: Into<AnyValue>> FromIterator<(K, V)> for Attributes {
    /// The last of equal keys wins.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Attributes {
        let mut all = Attributes::default();
        pairs
            .into_iter()
            .for_each(|(key, value)| all.set(key, value));
        all
    }
}

/// OTLP's `AnyValue`, shared instead of copied.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnyValue {
    /// Text.
    String(Arc<str>),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A real number.
    Double(f64),
}

impl AnyValue {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            AnyValue::String(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for AnyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyValue::String(text) => f.write_str(text),
            AnyValue::Bool(it) => it.fmt(f),
            AnyValue::Int(it) => it.fmt(f),
            AnyValue::Double(it) => fmt::Debug::fmt(it, f),
        }
    }
}

/// Doubles by their bits, so that a set of attributes can be a key.
impl PartialEq for AnyValue {
    fn eq(&self, other: &AnyValue) -> bool {
        match (self, other) {
            (AnyValue::String(a), AnyValue::String(b)) => a == b,
            (AnyValue::Bool(a), AnyValue::Bool(b)) => a == b,
            (AnyValue::Int(a), AnyValue::Int(b)) => a == b,
            (AnyValue::Double(a), AnyValue::Double(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

impl Eq for AnyValue {}

impl Hash for AnyValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            AnyValue::String(text) => text.hash(state),
            AnyValue::Bool(it) => it.hash(state),
            AnyValue::Int(it) => it.hash(state),
            AnyValue::Double(it) => it.to_bits().hash(state),
        }
    }
}

impl From<&str> for AnyValue {
    fn from(text: &str) -> AnyValue {
        AnyValue::String(text.into())
    }
}

impl From<String> for AnyValue {
    fn from(text: String) -> AnyValue {
        AnyValue::String(text.into())
    }
}

impl From<Arc<str>> for AnyValue {
    fn from(text: Arc<str>) -> AnyValue {
        AnyValue::String(text)
    }
}

impl serde::Serialize for AnyValue {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            AnyValue::String(text) => to.serialize_str(text),
            AnyValue::Bool(it) => to.serialize_bool(*it),
            AnyValue::Int(it) => to.serialize_i64(*it),
            AnyValue::Double(it) => to.serialize_f64(*it),
        }
    }
}

impl<'de> serde::Deserialize<'de> for AnyValue {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<AnyValue, D::Error> {
        struct Scalar;
        impl serde::de::Visitor<'_> for Scalar {
            type Value = AnyValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number, true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<AnyValue, E> {
                Ok(text.into())
            }

            fn visit_bool<E>(self, it: bool) -> Result<AnyValue, E> {
                Ok(AnyValue::Bool(it))
            }

            fn visit_i64<E>(self, it: i64) -> Result<AnyValue, E> {
                Ok(AnyValue::Int(it))
            }

            fn visit_u64<E: serde::de::Error>(self, it: u64) -> Result<AnyValue, E> {
                i64::try_from(it)
                    .map(AnyValue::Int)
                    .map_err(|_| E::custom(format_args!("{it} is beyond 64 bits with a sign")))
            }

            fn visit_f64<E>(self, it: f64) -> Result<AnyValue, E> {
                Ok(AnyValue::Double(it))
            }
        }
        from.deserialize_any(Scalar)
    }
}

impl schemars::JsonSchema for AnyValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnyValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}
