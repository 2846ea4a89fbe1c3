//! Globs and regular expressions for names, paths and labels.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Regex;

/// What a name, a path or a label has to look like: a glob (`kvm/*/exits`; `*` stays within a part, `**` crosses `/`,
/// `{a,b}` and `[0-9]` work), or a map of one key, `{regex: "…"}`. A glob has to match the whole text.
#[derive(Clone, Debug)]
pub struct Pattern(Arc<Matcher>);

#[derive(Debug)]
enum Matcher {
    /// With what its text would be as a regular expression, once somebody asks.
    Glob(globset::GlobMatcher, OnceLock<Option<regex::Regex>>),
    Regex(regex::Regex),
}

impl Pattern {
    /// The most bytes of a glob.
    pub const LONGEST: usize = 4096;

    /// A glob.
    ///
    /// # Errors
    /// What is wrong in it.
    pub fn glob(text: &str) -> Result<Pattern, String> {
        if text.len() > Pattern::LONGEST {
            // Braces within braces would go deeper than the stack.
            return Err(format!("a glob has {} bytes at the most", Pattern::LONGEST));
        }
        let glob = globset::GlobBuilder::new(text)
            .literal_separator(true)
            .backslash_escape(true)
            .build();
        // A set says what a matcher would panic at: braces too deep for a regular expression.
        let glob = glob.and_then(|glob| globset::GlobSet::new([glob.clone()]).map(|_| glob));
        let glob = glob.map_err(|error| format!("`{text}` is not a glob: {}", error.kind()))?;
        let glob = Matcher::Glob(glob.compile_matcher(), OnceLock::new());
        Ok(Pattern(Arc::new(glob)))
    }

    /// Whether this text looks so.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        match &*self.0 {
            Matcher::Glob(glob, _) => glob.is_match(text),
            Matcher::Regex(regex) => regex.is_match(text),
        }
    }

    /// Whether it is a glob without a wildcard: it lists the texts that it matches.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        match &*self.0 {
            Matcher::Glob(glob, _) => !glob.glob().glob().contains(['*', '?', '[']),
            Matcher::Regex(_) => false,
        }
    }

    /// The part of a path that it begins with, if that is a name: `kvm` of `kvm/**`.
    #[must_use]
    pub fn first_part(&self) -> Option<&str> {
        let Matcher::Glob(glob, _) = &*self.0 else {
            return None;
        };
        let (first, _) = glob.glob().glob().split_once('/')?;
        let is_name = !first.is_empty() && !first.contains(['*', '?', '[', '{', '\\']);
        is_name.then_some(first)
    }

    /// Why a text that does not match nearly does: this was meant as a regular expression, or one character is wrong.
    #[must_use]
    pub fn near_miss(&self, text: &str) -> Option<String> {
        let Matcher::Glob(glob, regex) = &*self.0 else {
            return None;
        };
        let glob = glob.glob().glob();
        let regex = regex.get_or_init(|| regex::Regex::new(glob).ok());
        // What no glob has: `md*` is none that was meant as an expression.
        let is_meant = [".*", ".+", "^", "$", "|", "\\", "("]
            .iter()
            .any(|it| glob.contains(it));
        let matches = |regex: &regex::Regex| is_meant && regex.is_match(text);
        if !regex.as_ref().is_some_and(matches) {
            let is_near = glob.len().abs_diff(text.len()) <= 1
                && text.len() > 2
                && strsim::osa_distance(glob, text) == 1;
            return is_near.then(|| format!("there is `{text}`, and no `{glob}`"));
        }
        Some(format!(
            "`{glob}` is a glob, which has to match all of a text; `{{regex: \"{glob}\"}}` would match `{text}`"
        ))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pattern, D::Error> {
        struct PatternVisitor;
        impl<'de> Visitor<'de> for PatternVisitor {
            type Value = Pattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a glob such as `kvm/*`, or `{regex: \"…\"}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pattern, E> {
                Pattern::glob(text).map_err(E::custom)
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Pattern, M::Error> {
                #[derive(serde::Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Form {
                    regex: Regex,
                }
                let form = Form::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Pattern(Arc::new(Matcher::Regex(form.regex.0))))
            }
        }
        from.deserialize_any(PatternVisitor)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            Matcher::Glob(glob, _) => to.serialize_str(glob.glob().glob()),
            Matcher::Regex(regex) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("regex", regex.as_str())?;
                map.end()
            }
        }
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "string" },
            { "type": "object", "properties": { "regex": { "type": "string", "format": "regex" } }, "required": ["regex"], "additionalProperties": false }
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_part_of_a_path() {
        let glob = |text| Pattern::glob(text).unwrap();
        assert!(glob("kvm/*").is_match("kvm/exits"));
        assert!(!glob("kvm/*").is_match("kvm/1-2/exits"));
        assert!(glob("kvm/**").is_match("kvm/1-2/exits"));
        assert!(glob("/dev{0,1}").is_match("/dev1"));
        assert!(glob("/dev{0,1}").is_literal() && !glob("/dev?").is_literal());
        assert_eq!(glob("kvm/*").first_part(), Some("kvm"));
        assert_eq!(glob("k*/a").first_part().or(glob("kvm").first_part()), None);
        assert!(glob("kvm/.*").near_miss("kvm/exits").is_some());
        assert_eq!(glob("kvm/.*").near_miss("net/rx"), None);
        assert!(Pattern::glob("a[").is_err());
        for depth in [300, 2_000, 100_000] {
            let nested = format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
            assert!(Pattern::glob(&nested).is_err(), "{depth}");
        }
        assert!(Pattern::glob(&"*".repeat(Pattern::LONGEST)).is_ok());
        assert!(Pattern::glob(&"[a-z]?".repeat(Pattern::LONGEST / 6)).is_ok());
    }
}
