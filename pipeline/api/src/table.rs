//! Who a series is: what stays the same from sweep to sweep.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
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

/// What a metric is: OpenTelemetry's name, description, unit and kind. One a metric, shared by its series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Metric {
    /// The metric's name, `<subsystem>/<file>` as the receiver makes it.
    pub name: Arc<str>,
    /// What it means; empty where nobody said.
    pub description: Arc<str>,
    /// UCUM, case-sensitive; empty where nobody said.
    pub unit: Arc<str>,
    /// Counter, gauge or not known.
    pub kind: Kind,
}

/// One series: its metric, its attributes, and where it comes from. Reads and writes like its [`Metric`]
/// (`series.name`, `series.unit = "By".into()`): a change is this series' own.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// What it is a series of.
    pub metric: Arc<Metric>,
    /// The labels. One set a device, shared by its rows.
    pub attributes: Arc<Attributes>,
    /// The file it is read from, where there is one.
    pub source: Option<Source>,
}

impl Series {
    /// A series of unknown kind.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, attributes: Arc<Attributes>) -> Series {
        let metric = Metric {
            name: name.into(),
            ..Metric::default()
        };
        Series::of(Arc::new(metric), attributes)
    }

    /// A series of this metric.
    #[must_use]
    pub fn of(metric: Arc<Metric>, attributes: Arc<Attributes>) -> Series {
        Series {
            metric,
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
            (Some(a), Some(b)) => {
                Arc::ptr_eq(&a.directory, &b.directory) && Arc::ptr_eq(&a.file, &b.file)
            }
            (a, b) => a.is_none() && b.is_none(),
        };
        source
            && Arc::ptr_eq(&self.metric, &other.metric)
            && Arc::ptr_eq(&self.attributes, &other.attributes)
    }
}

impl Deref for Series {
    type Target = Metric;

    fn deref(&self) -> &Metric {
        &self.metric
    }
}

impl DerefMut for Series {
    fn deref_mut(&mut self) -> &mut Metric {
        Arc::make_mut(&mut self.metric)
    }
}

/// What a metric is, in OpenTelemetry's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
    /// How many measurements fell between bounds that all its points have in common.
    Histogram {
        /// Since when it counts.
        temporality: Temporality,
        /// The upper bounds of its buckets, inclusive, but for the last one, which has none.
        bounds: Arc<Bounds>,
    },
    /// How many measurements fell between bounds that grow exponentially, each point with its own scale.
    ExponentialHistogram {
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

    /// Since when its points count; `None` for a gauge, which counts since nothing.
    #[must_use]
    pub fn temporality(&self) -> Option<Temporality> {
        match self {
            Kind::Unknown | Kind::Gauge => None,
            Kind::Sum { temporality, .. }
            | Kind::Histogram { temporality, .. }
            | Kind::ExponentialHistogram { temporality } => Some(*temporality),
        }
    }

    /// Whether its points count since a start that stays: sums and histograms, but for deltas.
    #[must_use]
    pub fn is_cumulative(&self) -> bool {
        self.temporality() == Some(Temporality::Cumulative)
    }
}

/// The bounds of a histogram's buckets, rising: one fewer than there are buckets.
#[derive(Clone, Debug, Default)]
pub struct Bounds(pub Vec<f64>);

/// By their bits, so that a kind can be a key.
impl PartialEq for Bounds {
    fn eq(&self, other: &Bounds) -> bool {
        self.0
            .iter()
            .map(|it| it.to_bits())
            .eq(other.0.iter().map(|it| it.to_bits()))
    }
}

impl Eq for Bounds {}

impl Hash for Bounds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|it| it.to_bits().hash(state));
    }
}

/// OpenTelemetry's aggregation temporality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Counts since the start time.
    Cumulative,
    /// Counts since the previous point.
    Delta,
}

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
}

impl SourceDirectory {
    /// A directory at this path of a file system of this type.
    #[must_use]
    pub fn new(path: impl Into<Arc<str>>, filesystem: impl Into<Arc<str>>) -> SourceDirectory {
        SourceDirectory {
            path: path.into(),
            filesystem: filesystem.into(),
        }
    }
}

/// A file as it stands in directories of the same shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SourceFile {
    /// Its name: `exits`.
    pub name: Arc<str>,
    /// The permission bits, 0 to 0o7777.
    pub mode: u32,
    /// What `.schema` declares.
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

/// What a tree declares of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
