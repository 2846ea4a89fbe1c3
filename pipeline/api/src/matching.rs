//! Which series a rule is about.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Pattern;
use crate::data::Series;

/// Which series a rule is about: every pattern that is given has to match; with none given, every series matches.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// The metric's name.
    pub name: Option<Pattern>,
    /// Labels by their keys. A series without the label does not match.
    pub labels: BTreeMap<String, Pattern>,
}

impl Match {
    /// The subsystem that it is about, if the name says so.
    #[must_use]
    pub fn subsystem(&self) -> Option<&str> {
        self.name.as_ref()?.first_part()
    }

    /// Why a series that does not match nearly does: a glob was meant as a regular expression, the series had another name
    /// when it was read, or a label is called something like it.
    #[must_use]
    pub fn near_miss(&self, series: &Series) -> Option<String> {
        let mut first = None;
        // A part that is not even near says that the rule is about something else.
        if let Some(pattern) = &self.name
            && !pattern.is_match(&series.name)
        {
            let near_miss = || pattern.near_miss(&series.name);
            first = Some(renamed(pattern, series).or_else(near_miss)?);
        }
        for (key, pattern) in &self.labels {
            let near_miss = match series.attributes.get(key).map(ToString::to_string) {
                None => near_label(key, series)?,
                Some(value) if pattern.is_match(&value) => continue,
                Some(value) => pattern.near_miss(&value)?,
            };
            first = first.or(Some(near_miss));
        }
        first
    }

    /// Whether this series is meant.
    #[must_use]
    pub fn is_match(&self, series: &Series) -> bool {
        self.name
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(&series.name))
            && self.labels.iter().all(|(key, pattern)| {
                let value = series.attributes.get(key);
                value.is_some_and(|value| {
                    value.as_str().map_or_else(
                        || pattern.is_match(&value.to_string()),
                        |text| pattern.is_match(text),
                    )
                })
            })
    }
}

/// The series had a name that matches when it was read.
fn renamed(pattern: &Pattern, series: &Series) -> Option<String> {
    let source = series.source.as_ref()?;
    let subsystem = source.directory.path.split('/').next()?;
    let name = format!("{subsystem}/{}", source.file.name);
    let is_near = pattern.is_match(&name);
    is_near.then(|| {
        format!(
            "`{name}` is called `{}` here: something above renames it",
            series.name
        )
    })
}

/// The label of a series whose key is like this one.
#[must_use]
pub fn near_label(key: &str, series: &Series) -> Option<String> {
    let keys = series.attributes.iter().map(|(key, _)| key);
    let distances = keys.map(|it| (strsim::osa_distance(key, it), it));
    let (distance, nearest) = distances.min()?;
    let is_near = distance <= 2 && distance < key.len();
    is_near.then(|| format!("there is a label `{nearest}`, and none `{key}`"))
}
