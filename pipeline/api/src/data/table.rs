//! Who the series of a table are: what stays the same from sweep to sweep.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::{Attributes, Series};
use crate::formats::otlp::Template;

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
