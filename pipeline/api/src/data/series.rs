//! A series and its metric.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Attributes, Kind, Source};

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
    /// Whether nobody said the kind, and it is a gauge for want of a better one. People are told; to backends it is one like others.
    pub kind_is_assumed: bool,
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
