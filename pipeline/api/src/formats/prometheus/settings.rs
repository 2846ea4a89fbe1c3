//! How an exposition names things, and what it adds to each series: the Collector's keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Pattern;
use crate::data::Attributes;

/// How OpenTelemetry's names become Prometheus' own
/// ([the Collector's prometheus exporter](https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/prometheusexporter)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TranslationStrategy {
    /// Odd characters become `_`, the unit and `_total` follow.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Odd characters become `_`.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay, the unit and `_total` follow.
    #[serde(rename = "NoUTF8EscapingWithSuffixes")]
    NoUtf8EscapingWithSuffixes,
    /// Names stay.
    NoTranslation,
}

impl TranslationStrategy {
    pub(super) fn escapes(self) -> bool {
        matches!(
            self,
            TranslationStrategy::UnderscoreEscapingWithSuffixes
                | TranslationStrategy::UnderscoreEscapingWithoutSuffixes
        )
    }

    pub(super) fn adds_suffixes(self) -> bool {
        matches!(
            self,
            TranslationStrategy::UnderscoreEscapingWithSuffixes
                | TranslationStrategy::NoUtf8EscapingWithSuffixes
        )
    }
}

/// Which resource attributes each series has as labels: globs over their keys.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceConstantLabels {
    /// Those that are taken. Where none is listed and `excluded` is, all others are.
    #[serde(default)]
    pub included: Vec<Pattern>,
    /// Those that are not, whatever `included` says.
    #[serde(default)]
    pub excluded: Vec<Pattern>,
}

impl ResourceConstantLabels {
    /// Every attribute.
    ///
    /// # Panics
    /// Never: `*` is a glob.
    #[must_use]
    pub fn all() -> ResourceConstantLabels {
        ResourceConstantLabels {
            included: vec![Pattern::glob("*").expect("a glob")],
            excluded: Vec::new(),
        }
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.included.is_empty() && self.excluded.is_empty()
    }

    pub(super) fn is_match(&self, key: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|it| it.is_match(key));
        let is_all = self.included.is_empty() && !self.excluded.is_empty();
        (is_all || any(&self.included)) && !any(&self.excluded)
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools)] // the keys are other people's
pub struct Settings {
    /// How names are made.
    pub translation_strategy: TranslationStrategy,
    /// Stands before each name, with a `_` after it; may be empty.
    pub namespace: String,
    /// Labels of each series.
    pub const_labels: BTreeMap<String, String>,
    /// Whether no unit stands at a name's end, whatever the strategy adds.
    pub without_units: bool,
    /// Whether no `_total` stands at a counter's end, whatever the strategy adds.
    pub without_type_suffix: bool,
    /// Whether each series has `otel_scope_name` and `otel_scope_version`.
    pub scope_info: bool,
    /// Which resource attributes are labels.
    pub resource_constant_labels: ResourceConstantLabels,
    /// The resource whose `job` and `instance` the one who scrapes knows; others are labels of their series.
    pub own_resource: Arc<Attributes>,
    /// Whether `target_info` tells the resources.
    pub target_info: bool,
    /// Whether each value has its time.
    pub timestamps: bool,
}
