//! A pattern of path parts whose names become labels: `{device}/statistics/{metric}`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The directories of a path below its subsystem. The file is the last part, always `{metric}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(Vec<LayoutPart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum LayoutPart {
    /// A directory of this name.
    Literal(String),
    /// A directory whose name is this label's value.
    Label(String),
}

impl Layout {
    fn parse(text: &str) -> Result<Layout, String> {
        let mut parts: Vec<&str> = text.split('/').collect();
        if parts.pop() != Some("{metric}") {
            return Err(format!("`{text}` does not end in `{{metric}}`"));
        }
        let part = |part: &&str| match part
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(name) if !name.is_empty() && name != "metric" && !name.contains(['{', '}']) => {
                Ok(LayoutPart::Label(name.into()))
            }
            None if !part.is_empty() && !part.contains(['{', '}']) => {
                Ok(LayoutPart::Literal((*part).into()))
            }
            _ => Err(format!(
                "`{part}` is neither a directory's name nor `{{label}}`"
            )),
        };
        parts.iter().map(part).collect::<Result<_, _>>().map(Layout)
    }

    /// Whether a directory of this name, `depth` directories below the subsystem, matches the layout.
    pub(crate) fn is_match(&self, depth: usize, name: &str) -> bool {
        match self.0.get(depth) {
            Some(LayoutPart::Literal(literal)) => literal == name,
            Some(LayoutPart::Label(_)) => true,
            None => false,
        }
    }

    /// Whether the layout names this directory: by its own name, and not as any device.
    pub(crate) fn is_named(&self, depth: usize, name: &str) -> bool {
        matches!(self.0.get(depth), Some(LayoutPart::Literal(literal)) if literal == name)
    }

    /// How deep the directories stand that are named.
    pub(crate) fn named_depths(&self) -> impl Iterator<Item = usize> {
        let parts = self.0.iter().enumerate();
        parts.filter_map(|(depth, part)| matches!(part, LayoutPart::Literal(_)).then_some(depth))
    }

    /// Whether directories of this depth have files: at the end, or where only labels would follow.
    pub(crate) fn has_files(&self, depth: usize) -> bool {
        self.0
            .get(depth..)
            .is_some_and(|rest| rest.iter().all(|part| matches!(part, LayoutPart::Label(_))))
    }

    /// Whether a directory of this depth holds devices: directories of any name.
    pub(crate) fn holds_devices(&self, depth: usize) -> bool {
        matches!(self.0.get(depth), Some(LayoutPart::Label(_)))
    }

    /// The labels of a directory whose path below the subsystem has these parts.
    pub(crate) fn labels<'a>(
        &'a self,
        parts: impl Iterator<Item = &'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .zip(parts)
            .filter_map(|(part, name)| match part {
                LayoutPart::Label(label) => Some((label.as_str(), name)),
                LayoutPart::Literal(_) => None,
            })
    }
}

/// As it is written.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                LayoutPart::Literal(name) => write!(f, "{name}/")?,
                LayoutPart::Label(name) => write!(f, "{{{name}}}/")?,
            }
        }
        f.write_str("{metric}")
    }
}

impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Layout {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Layout, D::Error> {
        let text = String::deserialize(from)?;
        Layout::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Layout {
    fn schema_name() -> Cow<'static, str> {
        "Layout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "\\{metric\\}$", "examples": ["{device}/statistics/{metric}"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_labels_and_a_literal_has_to_be_there() {
        let net = Layout::parse("{device}/statistics/{metric}").unwrap();
        assert!(net.is_match(0, "eth0") && net.holds_devices(0));
        assert!(
            net.is_match(1, "statistics") && !net.is_match(1, "queues") && !net.holds_devices(1)
        );
        assert!(net.is_named(1, "statistics") && !net.is_named(1, "queues"));
        assert!(!net.is_named(0, "statistics") && net.named_depths().eq([1]));
        assert!(!net.has_files(0) && !net.has_files(1) && net.has_files(2) && !net.has_files(3));
        assert_eq!(
            net.labels(["eth0", "statistics"].into_iter())
                .collect::<Vec<_>>(),
            [("device", "eth0")]
        );
    }

    #[test]
    fn a_file_at_less_depth_lacks_the_deeper_labels() {
        let kvm = Layout::parse("{vm}/{vcpu}/{metric}").unwrap();
        assert!(kvm.has_files(0) && kvm.has_files(1) && kvm.has_files(2) && !kvm.has_files(3));
        assert_eq!(
            kvm.labels(["1-2"].into_iter()).collect::<Vec<_>>(),
            [("vm", "1-2")]
        );
        for text in [
            "",
            "{vm}",
            "{vm}/x",
            "{}/{metric}",
            "{metric}/{metric}",
            "//{metric}",
            "a{b}/{metric}",
        ] {
            assert!(Layout::parse(text).is_err(), "{text}");
        }
    }
}
