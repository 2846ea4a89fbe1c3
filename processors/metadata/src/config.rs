//! What the user writes.

use std::path::PathBuf;

use pipeline::config::AbsentValues;
use pipeline::{Created, Kind, Match};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of a `metadata` processor.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who is asked what a metric is, in this order; the first answer holds, for kind, unit and description each.
    pub sources: Vec<MetadataSource>,
    /// What the user says; of several rules that match, the first that says something of a field holds.
    pub rules: Vec<MetadataRule>,
    /// Catalog files of the user's own, asked before the one that is built in.
    pub catalogs: Vec<PathBuf>,
    /// What becomes of a metric whose kind nobody knows.
    pub unmatched: Unmatched,
    /// What becomes of files that are sums, or the like, of files below.
    pub aggregates: Aggregates,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sources: vec![
                MetadataSource::Rules,
                MetadataSource::Declared,
                MetadataSource::Kernel,
                MetadataSource::Catalog,
                MetadataSource::Mode,
            ],
            rules: Vec::new(),
            catalogs: Vec::new(),
            unmatched: Unmatched::Gauge,
            aggregates: Aggregates::Auto,
        }
    }
}

/// Who may know what a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetadataSource {
    /// `rules`.
    Rules,
    /// The tree itself, by its `.schema`, or a receiver that knows.
    Declared,
    /// The running kernel, of KVM's files in debugfs: by the descriptors of its statistics, for which an empty VM is made
    /// once, where another VM is.
    Kernel,
    /// `catalogs`, then the built-in one.
    Catalog,
    /// The file's mode: 0644 is a counter on statsfs and below debugfs's `kvm/`; elsewhere it says nothing.
    Mode,
}

/// What becomes of a metric whose kind nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// It is a gauge, which claims nothing.
    Gauge,
    /// It is dropped, and not read.
    Drop,
}

/// What becomes of files that are sums of files below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Aggregates {
    /// Those that rules, `.schema` or a catalog call so are dropped; mere candidates are kept, and named once.
    Auto,
    /// All are kept.
    Keep,
    /// All are dropped, candidates too.
    Drop,
    /// All, candidates too, become metrics of their own: `.aggregate` after the name, up-down.
    Separate,
}

/// What the user says of some metrics.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataRule {
    /// Which.
    pub r#match: Match,
    /// What it is.
    pub kind: Option<RuleKind>,
    /// Its unit, in UCUM.
    pub unit: Option<String>,
    /// What it means.
    pub description: Option<String>,
    /// Since when it counts.
    pub start: Option<Start>,
    /// Numbers that stand for no value: no point is made of them.
    pub absent: Option<AbsentValues>,
    /// Values are multiplied by this.
    pub scale: Option<f64>,
    /// Whether it is a sum, or the like, of files below.
    pub aggregate: Option<bool>,
    /// It is dropped, and not read.
    pub drop: bool,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// Only grows: a monotonic cumulative sum.
    Counter,
    /// A current amount that may be added up: a non-monotonic sum.
    Updown,
    /// A current value that may not.
    Gauge,
}

/// Since when a metric counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Nobody knows, since it is kept on a disk or in a device, for example: its first value is the baseline.
    #[default]
    Unknown,
    /// The kernel began at zero in this boot, but maybe before the directory was there: a network interface that is renamed,
    /// or moved to another network namespace, keeps its counts.
    Boot,
    /// The kernel makes it with the directory, at zero.
    Device,
}

impl Start {
    /// The start of a counter in a directory of which so much is known, unix ns; 0: its first value is the baseline.
    pub(crate) fn since(self, created: Created) -> u64 {
        match (self, created) {
            (Start::Boot | Start::Device, Created::AtBoot(time))
            | (Start::Device, Created::After(time)) => time,
            _ => 0,
        }
    }
}

impl From<RuleKind> for Kind {
    fn from(kind: RuleKind) -> Kind {
        match kind {
            RuleKind::Counter => Kind::COUNTER,
            RuleKind::Updown => Kind::UP_DOWN_COUNTER,
            RuleKind::Gauge => Kind::Gauge,
        }
    }
}
