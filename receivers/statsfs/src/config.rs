//! The configuration as the user writes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pipeline::AnyValue;
use pipeline::config::{AbsentValues, ByteSize, Duration, InitialDelay, Pattern};
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
    /// What the parts of a path below the subsystem mean: names in braces become labels, `{metric}` is the file.
    pub layout: Option<Layout>,
    /// The time between sweeps.
    #[serde(default = "ten_seconds")]
    pub collection_interval: Duration,
    /// The time before the first sweep.
    #[serde(default)]
    pub initial_delay: InitialDelay,
    /// How long a sweep may take; files that are not read by then are left out and counted, and read first at the next one.
    #[serde(default = "five_seconds")]
    pub timeout: Duration,
    /// How often the whole tree is scanned again.
    #[serde(default = "five_minutes")]
    pub rescan_interval: Duration,
    /// Whether files are kept open between sweeps.
    #[serde(default)]
    pub read: Read,
    /// How many threads read at a time: several tables, or parts of one that takes more than 100 ms. More than one is faster,
    /// but slows down some drivers.
    #[serde(default = "one")]
    pub readers: usize,
    /// How many threads beside them may read files that are slow or do not answer. When this many wait for files that were
    /// given up, a subsystem that has such files is suspended.
    #[serde(default = "four")]
    pub max_stuck: usize,
    /// The part of one core that reading may take, in percent; 0: no limit. Over it, the subsystems of the lowest
    /// priority are swept less often.
    #[serde(default)]
    pub max_cpu_percent: u32,
    /// The priorities of subsystems; the first match applies, the others have 0.
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
    /// Labels for every series; they override those of the tree.
    #[serde(default)]
    pub labels: BTreeMap<String, AnyValue>,
    /// The formats of files that are not decimal integers, and the numbers that are no value; the first match applies.
    #[serde(default)]
    pub formats: Vec<FormatRule>,
    /// Limits: what is beyond them is counted, warned about once, and left out.
    #[serde(default)]
    pub limits: Limits,
    /// Whether symbolic links are followed, one level: those directly in the root, for `/sys/class/*`, and those that the
    /// layout names, for `/sys/block/*/device`.
    #[serde(default)]
    pub follow_links: bool,
    /// Directories into which such links may lead, beside the root's own file system.
    #[serde(default)]
    pub links_into: Vec<PathBuf>,
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

/// Names to include and to exclude; applied before anything below them is opened.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Only these; all if empty.
    pub include: Vec<Pattern>,
    /// Never these.
    pub exclude: Vec<Pattern>,
}

/// Whether files are kept open between sweeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Read {
    /// Kept open on sysfs, where that pins nothing; opened for each sweep elsewhere.
    #[default]
    Auto,
    /// Kept open everywhere, within the budget of descriptors; the others are opened for each sweep.
    Keep,
    /// Opened for each sweep everywhere.
    Reopen,
}

/// The priority of a subsystem.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Priority {
    /// The subsystem's name.
    pub r#match: Pattern,
    /// A subsystem of higher priority is read first where several are due, and is the last to be swept less often.
    pub priority: i32,
}

/// The format of some files.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormatRule {
    /// The path below the root, the subsystem first.
    pub r#match: Pattern,
    /// The format; without it what `.schema` says, or a decimal integer.
    pub r#as: Option<ValueFormat>,
    /// Numbers that stand for no value: no point is made of them.
    #[serde(default)]
    pub absent: AbsentValues,
}

/// The format of a file's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueFormat {
    /// A decimal integer.
    #[default]
    Int,
    /// A floating-point number.
    Float,
    /// A hexadecimal integer, with or without `0x`.
    Hex,
    /// `1/0`, `Y/N`, `true/false`, `on/off`, `enabled/disabled`.
    Bool,
}

/// Limits: what is beyond them is counted, warned about once, and left out.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The maximum of series of this receiver.
    pub series: usize,
    /// The maximum of files, with series or without.
    pub files: usize,
    /// The maximum of directories, with series or without.
    pub directories: usize,
    /// The maximum depth of directories below the root.
    pub depth: usize,
    /// The maximum size of a value's file.
    pub value_bytes: ByteSize,
    /// The maximum size of a `.schema`.
    pub schema_bytes: ByteSize,
    /// The maximum size of all `.schema` files together.
    pub schema_total_bytes: ByteSize,
    /// The maximum of labels in a `.schema`.
    pub labels: usize,
    /// The maximum size of the labels in a `.schema`, names and values, all of them together.
    pub label_bytes: ByteSize,
    /// The maximum of entries in a directory.
    pub directory_entries: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            series: 1_000_000,
            files: 2_000_000,
            directories: 100_000,
            depth: 16,
            value_bytes: ByteSize(4 * 1024),
            schema_bytes: ByteSize(256 * 1024),
            schema_total_bytes: ByteSize(64 << 20),
            labels: 32,
            label_bytes: ByteSize(4 * 1024),
            directory_entries: 100_000,
        }
    }
}
