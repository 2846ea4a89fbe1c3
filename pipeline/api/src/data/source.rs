//! The file a series is read from, and what its tree says of it.

use std::sync::Arc;

use super::Kind;

/// The file a series is read from. Both halves are shared: the directory by its files, the file by directories of the
/// same shape.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Source {
    /// Where it stands.
    pub directory: Arc<SourceDirectory>,
    /// What it is called there, and all that the tree says of it.
    pub file: Arc<SourceFile>,
}

impl Source {
    /// A source of these halves.
    #[must_use]
    pub fn new(directory: Arc<SourceDirectory>, file: Arc<SourceFile>) -> Source {
        Source { directory, file }
    }

    /// The whole path below the root, `kvm/1234-12/vcpu0/exits`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.directory.path, self.file.name)
    }
}

/// A directory with files that are series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceDirectory {
    /// The path below the root, the subsystem first: `kvm/1234-12/vcpu0`.
    pub path: Arc<str>,
    /// The file system's type as in mountinfo (`debugfs`, `sysfs`, `statsfs`, `ext4`); empty if not known.
    pub filesystem: Arc<str>,
    /// What is known of when it was created.
    pub created: Created,
    /// By which of its sources the receiver reads it, in the word of its configuration: `stats_fd`. Empty where it has one.
    pub via: &'static str,
}

impl SourceDirectory {
    /// A directory at this path of a file system of this type.
    #[must_use]
    pub fn new(path: impl Into<Arc<str>>, filesystem: impl Into<Arc<str>>) -> SourceDirectory {
        SourceDirectory {
            path: path.into(),
            filesystem: filesystem.into(),
            created: Created::Unknown,
            via: "",
        }
    }
}

/// What is known of when a directory was created. That its counters began with it is another question: what is kept on a
/// disk or in a device is older, and what is renamed comes with what it has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Created {
    /// Nothing.
    #[default]
    Unknown,
    /// While the kernel booted, which began at this time, unix ns.
    AtBoot(u64),
    /// After this time, unix ns, at which it was not there.
    After(u64),
}

/// A file as it stands in directories of the same shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SourceFile {
    /// Its name: `exits`.
    pub name: Arc<str>,
    /// The permission bits, 0 to 0o7777.
    pub mode: u32,
    /// What `.schema` declares, or the receiver for who knows.
    pub declared: Option<Arc<Declared>>,
    /// Whether the same name also stands in a directory below: a candidate for a sum of those.
    pub same_name_below: bool,
}

impl SourceFile {
    /// A file of this name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> SourceFile {
        SourceFile {
            name: name.into(),
            ..SourceFile::default()
        }
    }
}

/// What is declared of a metric: by its tree, or for who knows it by the receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Declared {
    /// Who declares it.
    pub by: DeclaredBy,
    /// `FLAG`.
    pub kind: Option<Kind>,
    /// `UNIT`.
    pub unit: Option<Arc<str>>,
    /// `DESC`.
    pub description: Option<Arc<str>>,
    /// `AGGR` other than `NONE`: a value computed of those below.
    pub aggregate: Option<bool>,
}

/// Who declares something of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeclaredBy {
    /// A `.schema` in the tree.
    #[default]
    Schema,
    /// The running kernel, which describes the statistic itself.
    Kernel,
    /// Nobody but its name: `halt_wait_ns`.
    Name,
}

impl DeclaredBy {
    /// The word for it, as `inspect` shows it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            DeclaredBy::Schema => ".schema",
            DeclaredBy::Kernel => "kernel",
            DeclaredBy::Name => "name",
        }
    }
}
