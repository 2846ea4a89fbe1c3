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
