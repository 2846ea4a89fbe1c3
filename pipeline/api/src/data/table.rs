//! Who the series of a table are: what stays the same from sweep to sweep.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::{Attributes, Kind, Series};

/// The series of some whole devices of one subsystem, a few thousand at most, shared by all sweeps that show them.
pub struct Table {
    head: Arc<Head>,
    series: Arc<Vec<Series>>,
    /// Those that are histograms, once somebody has asked.
    histograms: OnceLock<Vec<usize>>,
    /// Who wants to know when nobody holds it any more.
    told: Mutex<Vec<Weak<Mutex<Vec<usize>>>>>,
}

/// Where tables leave their addresses when nobody holds them any more.
#[derive(Debug, Default)]
pub(super) struct DroppedTables(Arc<Mutex<Vec<usize>>>);

impl DroppedTables {
    /// Those that were dropped since the last time.
    pub(super) fn take(&self) -> Vec<usize> {
        std::mem::take(&mut *locked(&self.0))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let address = std::ptr::from_ref(self).addr();
        for dropped in locked(&self.told).iter().filter_map(Weak::upgrade) {
            locked(&dropped).push(address);
        }
    }
}

/// A panic elsewhere leaves what is known as it is.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
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
            histograms: OnceLock::new(),
            told: Mutex::default(),
        })
    }

    /// Its address is left there when nobody holds it any more.
    pub(super) fn say_when_dropped(&self, to: &DroppedTables) {
        let mut told = locked(&self.told);
        let own = Arc::downgrade(&to.0);
        told.retain(|it| it.strong_count() > 0 && !it.ptr_eq(&own));
        told.push(own);
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

    /// The rows of histograms, whose values are of their own size.
    pub(super) fn histograms(&self) -> &[usize] {
        let is_histogram = |row: &usize| {
            matches!(
                self.series[*row].kind,
                Kind::Histogram { .. } | Kind::ExponentialHistogram { .. }
            )
        };
        let rows = || (0..self.len()).filter(is_histogram).collect();
        self.histograms.get_or_init(rows)
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
    /// A name that outlives the table (`statsfs/kvm/3`: the id of the component that makes it, the subsystem, a number): the table that is made in its stead has the same, so that what is
    /// known of the one goes on with the other. No two tables that live have one name.
    pub table_slot: Arc<str>,
}

impl Head {
    /// A head of these parts.
    #[must_use]
    pub fn new(
        resource: Arc<Attributes>,
        scope: Arc<Scope>,
        subsystem: Arc<str>,
        table_slot: Arc<str>,
    ) -> Head {
        Head {
            resource,
            scope,
            subsystem,
            table_slot,
        }
    }

    /// The id of the component that made the table, as far as its slot tells it.
    #[must_use]
    pub fn component(&self) -> &str {
        let end = self.table_slot.rfind(&format!("/{}/", self.subsystem));
        &self.table_slot[..end.unwrap_or(self.table_slot.len())]
    }

    /// The same head with another slot.
    #[must_use]
    pub fn with_table_slot(&self, table_slot: Arc<str>) -> Head {
        Head {
            table_slot,
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
