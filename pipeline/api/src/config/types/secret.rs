//! Text that is in no output.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::watched::FileReader;

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
