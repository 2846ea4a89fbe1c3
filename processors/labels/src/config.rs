//! What the user writes.

use std::collections::BTreeMap;

use pipeline::config::Regex;
use pipeline::{AnyValue, Match};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of a `labels` processor.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is done, in this order.
    pub actions: Vec<Action>,
}

/// One action. Each may have a `match`: it is done to the series that match, as they are when their turn comes.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sets a label, whether or not it is there.
    Set(Set),
    /// Gives a label another key; one that has that key already is replaced.
    Rename(Rename),
    /// Takes a label away.
    Delete(Delete),
    /// Makes labels of a regular expression's named groups.
    Extract(Extract),
    /// Changes a label's value, or the metric's name, by a table.
    Map(Map),
    /// Replaces what a regular expression finds in a label's value, or in the metric's name.
    Replace(Replace),
    /// Keeps the series that match, and drops all others.
    Keep(Only),
    /// Drops the series that match.
    Drop(Only),
    /// Gives the metric another name.
    Name(Name),
}

/// `set`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Which series.
    #[serde(default)]
    pub r#match: Match,
    /// The label's key.
    pub label: String,
    /// Its value.
    pub value: AnyValue,
}

/// `rename`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// Which series.
    #[serde(default)]
    pub r#match: Match,
    /// The label's key.
    pub label: String,
    /// Its new key.
    pub to: String,
}

/// `delete`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// Which series.
    #[serde(default)]
    pub r#match: Match,
    /// The label's key.
    pub label: String,
}

/// `extract`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extract {
    /// Which series.
    #[serde(default)]
    pub r#match: Match,
    /// The label to look into; the metric's name where it is left out.
    pub label: Option<String>,
    /// Its named groups become labels; one that takes no part sets none.
    pub regex: Regex,
}

/// `map`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// Which series.
    #[serde(default)]
    pub r#match: Match,
    /// The label; the metric's name where it is left out.
    pub label: Option<String>,
    /// From what it is to what it becomes.
    pub values: BTreeMap<String, String>,
    /// What all others become; they stay as they are where it is left out.
    pub default: Option<String>,
}

/// `replace`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// Which series.
    #[serde(default)]
    pub r#match: Match,
    /// The label; the metric's name where it is left out.
    pub label: Option<String>,
    /// What is replaced, each time it is found.
    pub regex: Regex,
    /// By what; `$1` is the first group, `${name}` a named one (in a configuration file `$${name}`).
    pub with: String,
}

/// `keep` and `drop`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// Which series. It has to be given: every series would be a lot to drop.
    pub r#match: Match,
}

/// `name`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// Which series.
    #[serde(default)]
    pub r#match: Match,
    /// The new name; `{subsystem}`, `{metric}` (the name without its subsystem) and `{name}` stand for what it is.
    pub template: String,
}
