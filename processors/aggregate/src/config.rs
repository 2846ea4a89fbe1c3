//! What the user writes.

use pipeline::Match;
use pipeline::config::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of an `aggregate` processor.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is put together; the first rule that matches a series holds.
    pub rules: Vec<AggregateRule>,
    /// How long a member that shows nothing counts with what it last showed.
    pub carry: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            rules: Vec::new(),
            carry: Duration::from_secs(300),
        }
    }
}

/// Which series become one, and how.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregateRule {
    /// Which series.
    #[serde(default)]
    pub r#match: Match,
    /// The labels that are taken away.
    pub without: Option<Vec<String>>,
    /// The labels that stay; all others are taken away.
    pub by: Option<Vec<String>>,
    /// What is made of the values.
    pub function: Function,
    /// Whether the sum of counters falls when one of them ends. Without it a sum stays a counter, and keeps what those
    /// that ended had counted.
    #[serde(default = "yes")]
    pub members_leave: bool,
}

fn yes() -> bool {
    true
}

/// What is made of the values of all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// What they are together.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their mean, a real number.
    Avg,
}
