//! What the user writes.

use std::collections::BTreeMap;

use pipeline::AnyValue;
use pipeline::config::{ByteSize, Duration, Pattern};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// The configuration of a `statsfs` receiver.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A path, or `statsfs:` or `debugfs:kvm`: a file system looked up by its type in mountinfo, and a path in it.
    pub root: String,
    /// The root itself is this one subsystem; without it each directory in the root is one.
    pub subsystem: Option<String>,
    /// What the parts of a path below the subsystem are: names become labels, `{metric}` is the file.
    pub layout: Option<Layout>,
    /// From sweep to sweep.
    #[serde(default = "ten_seconds")]
    pub collection_interval: Duration,
    /// Before the first sweep.
    #[serde(default)]
    pub initial_delay: Duration,
    /// How long a sweep may take; files that it has not come to by then are left out and counted.
    #[serde(default = "five_seconds")]
    pub timeout: Duration,
    /// How often the whole tree is scanned anew.
    #[serde(default = "five_minutes")]
    pub rescan_interval: Duration,
    /// How files are read again and again.
    #[serde(default)]
    pub read: Read,
    /// Threads that read at a time. More than one is faster, but some drivers answer more slowly for it.
    #[serde(default = "one")]
    pub readers: usize,
    /// Files that do not answer before the whole subsystem rests: each costs a thread until it does.
    #[serde(default = "four")]
    pub max_stuck: usize,
    /// The part of one core that reading may take, in percent; 0: no limit. Over it, the subsystems of the lowest
    /// priority are swept less often.
    #[serde(default)]
    pub max_cpu_percent: u32,
    /// Which subsystems go first; the first match holds, and 0 is what all others have.
    #[serde(default)]
    pub priorities: Vec<Priority>,
    /// Whether sweeps begin at whole multiples of the interval by the wall clock.
    #[serde(default)]
    pub align: bool,
    /// Which subsystems, by name.
    #[serde(default)]
    pub subsystems: Filter,
    /// Which devices, by the name of the first directory below the subsystem.
    #[serde(default)]
    pub devices: Filter,
    /// Labels for every series, over those of the tree.
    #[serde(default)]
    pub labels: BTreeMap<String, AnyValue>,
    /// How to read what is not a decimal integer; the first match holds.
    #[serde(default)]
    pub formats: Vec<FormatRule>,
    /// What is too much.
    #[serde(default)]
    pub limits: Limits,
    /// Whether symbolic links directly in the root are followed, one level: for `/sys/class/*`.
    #[serde(default)]
    pub follow_links: bool,
}

fn one() -> usize {
    1
}

fn four() -> usize {
    4
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

/// Names to take, and names not to; applied before anything below them is opened.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Only these; all where there is none.
    pub include: Vec<Pattern>,
    /// Never these.
    pub exclude: Vec<Pattern>,
}

impl Filter {
    /// Whether this name is taken.
    pub(crate) fn is_match(&self, name: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

/// How files are read again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Read {
    /// As the file system allows: kept open on sysfs, where that pins nothing; opened anew elsewhere.
    #[default]
    Auto,
    /// Kept open everywhere, as far as descriptors go; what cannot be is opened anew.
    Keep,
    /// Opened anew everywhere.
    Reopen,
}

/// How much a subsystem matters.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Priority {
    /// The subsystem's name.
    pub r#match: Pattern,
    /// The higher, the later it is swept less often, and the earlier where several are due.
    pub priority: i32,
}

/// How some files are read.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormatRule {
    /// The path below the root, the subsystem first.
    pub r#match: Pattern,
    /// As what.
    pub r#as: Format,
}

/// How a file's content is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A decimal integer.
    #[default]
    Int,
    /// A real number.
    Float,
    /// A hexadecimal integer, with or without `0x`.
    Hex,
    /// `1/0`, `Y/N`, `true/false`, `on/off`, `enabled/disabled`.
    Bool,
}

/// What is too much: counted, named once, and left out.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Series of this receiver.
    pub series: usize,
    /// Directories below one another.
    pub depth: usize,
    /// Bytes of a value's file.
    pub value_bytes: ByteSize,
    /// Bytes of a `.schema`.
    pub schema_bytes: ByteSize,
    /// Entries of a directory.
    pub directory_entries: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            series: 1_000_000,
            depth: 16,
            value_bytes: ByteSize(4 * 1024),
            schema_bytes: ByteSize(256 * 1024),
            directory_entries: 100_000,
        }
    }
}
