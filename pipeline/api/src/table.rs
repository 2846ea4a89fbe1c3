//! Who a series is: what stays the same from sweep to sweep.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use crate::attributes::Attributes;
use crate::otlp::Template;

/// The series of some whole devices of one subsystem, a few thousand at most, shared by all sweeps that show them.
pub struct Table {
    head: Arc<Head>,
    series: Arc<Vec<Series>>,
    template: OnceLock<Template>,
}

impl Table {
    /// A table of these series, in this order. Order is the receiver's: path order, for `statsfs`.
    #[must_use]
    pub fn new(head: Arc<Head>, series: Vec<Series>) -> Arc<Table> {
        Table::shared(head, Arc::new(series))
    }

    /// A table of series that its maker keeps too: shared, not copied.
    #[must_use]
    pub fn shared(head: Arc<Head>, series: Arc<Vec<Series>>) -> Arc<Table> {
        Arc::new(Table {
            head,
            series,
            template: OnceLock::new(),
        })
    }

    /// What the series have in common.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// The series; a batch has one value for each.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is no series at all: such a table only carries a [`Sweep`](crate::Sweep)'s `last`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The encoded OTLP bytes, made when first asked for.
    pub(crate) fn template(&self) -> &Template {
        self.template.get_or_init(|| Template::new(self))
    }

    /// The rows without the table, so that a [`Memo`](crate::Memo) can outlive it and still know them.
    pub(crate) fn shared_series(&self) -> Arc<Vec<Series>> {
        Arc::clone(&self.series)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("head", &self.head)
            .field("series", &self.series.len())
            .finish_non_exhaustive()
    }
}

/// What the series of a table have in common.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Head {
    /// The entity observed, an OpenTelemetry resource.
    pub resource: Arc<Attributes>,
    /// Who observed it, an OpenTelemetry instrumentation scope.
    pub scope: Arc<Scope>,
    /// The first part of the path: `kvm`, `net`.
    pub subsystem: Arc<str>,
    /// A name for the table that outlives its remaking (`statsfs/kvm/3`): a device keeps its place but for compaction.
    pub place: Arc<str>,
}

impl Head {
    /// A head of these parts.
    #[must_use]
    pub fn new(
        resource: Arc<Attributes>,
        scope: Arc<Scope>,
        subsystem: Arc<str>,
        place: Arc<str>,
    ) -> Head {
        Head {
            resource,
            scope,
            subsystem,
            place,
        }
    }

    /// The same head at another place.
    #[must_use]
    pub fn at(&self, place: Arc<str>) -> Head {
        Head {
            place,
            ..self.clone()
        }
    }
}

/// An OpenTelemetry instrumentation scope: the receiver's crate and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The crate's name.
    pub name: Arc<str>,
    /// The crate's version.
    pub version: Arc<str>,
}

impl Scope {
    /// A scope of this name and version.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Scope {
        Scope {
            name: name.into(),
            version: version.into(),
        }
    }
}

/// One series: OpenTelemetry's name, description, unit, kind and attributes, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// The metric's name, `<subsystem>/<file>` as the receiver makes it.
    pub name: Arc<str>,
    /// What it means; empty where nobody said.
    pub description: Arc<str>,
    /// UCUM, case-sensitive; empty where nobody said.
    pub unit: Arc<str>,
    /// Counter, gauge or not known.
    pub kind: Kind,
    /// The labels. One set a device, shared by its rows.
    pub attributes: Arc<Attributes>,
    /// The file it is read from, where there is one.
    pub source: Option<Arc<Source>>,
}

impl Series {
    /// A series of unknown kind.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, attributes: Arc<Attributes>) -> Series {
        Series {
            name: name.into(),
            description: Arc::default(),
            unit: Arc::default(),
            kind: Kind::Unknown,
            attributes,
            source: None,
        }
    }

    /// 128 bits of what most backends tell series of one resource by: name and attributes
    /// ([OpenTelemetry: the timeseries model](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#timeseries-model);
    /// kind and unit are left out, since Prometheus and Cloud Monitoring know one of each a name).
    #[must_use]
    pub fn identity(&self) -> u128 {
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            self.name.hash(&mut hasher);
            self.attributes.hash(&mut hasher);
            hasher.finish()
        };
        u128::from(half(0)) << 64 | u128::from(half(1))
    }

    /// Whether both are made of the very same parts, by pointer: a row that a remade table carried over.
    pub(crate) fn is_same_row(&self, other: &Series) -> bool {
        let source = match (&self.source, &other.source) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        source
            && Arc::ptr_eq(&self.name, &other.name)
            && Arc::ptr_eq(&self.attributes, &other.attributes)
            && self.kind == other.kind
            && self.unit == other.unit
            && self.description == other.description
    }
}

/// What a metric is, in OpenTelemetry's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Nobody said; goes out as a gauge, which claims nothing.
    #[default]
    Unknown,
    /// A current value that is not to be added up.
    Gauge,
    /// A sum. Monotonic: a counter.
    Sum {
        /// Whether it only grows, but for resets.
        monotonic: bool,
        /// Since when it counts.
        temporality: Temporality,
    },
}

impl Kind {
    /// A monotonic cumulative sum.
    pub const COUNTER: Kind = Kind::Sum {
        monotonic: true,
        temporality: Temporality::Cumulative,
    };
    /// A non-monotonic cumulative sum: a current amount that may be added up.
    pub const UPDOWN: Kind = Kind::Sum {
        monotonic: false,
        temporality: Temporality::Cumulative,
    };
}

/// OpenTelemetry's aggregation temporality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Counts since the start time.
    Cumulative,
    /// Counts since the previous point.
    Delta,
}

/// The file a series is read from, and all that the tree itself says of it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Source {
    /// The directory below the root, the subsystem first: `kvm/1234-12/vcpu0`.
    pub directory: Arc<str>,
    /// The file's name in it: `exits`.
    pub file: Arc<str>,
    /// The file system's type as in mountinfo (`debugfs`, `sysfs`, `statsfs`, `ext4`); empty if not known.
    pub filesystem: Arc<str>,
    /// The permission bits, 0 to 0o7777.
    pub mode: u32,
    /// What `.schema` declares.
    pub declared: Option<Arc<Declared>>,
    /// Whether the same name also stands in a directory below: a candidate for a sum of those.
    pub same_name_below: bool,
}

impl Source {
    /// A source at this place.
    #[must_use]
    pub fn new(directory: Arc<str>, file: Arc<str>) -> Source {
        Source {
            directory,
            file,
            ..Source::default()
        }
    }

    /// The whole path below the root, `kvm/1234-12/vcpu0/exits`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.directory, self.file)
    }
}

/// What a tree declares of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Declared {
    /// `FLAG`.
    pub kind: Option<Kind>,
    /// `UNIT`.
    pub unit: Option<Arc<str>>,
    /// `DESC`.
    pub description: Option<Arc<str>>,
    /// `AGGR` other than `NONE`: a value computed of those below.
    pub aggregate: Option<bool>,
}
