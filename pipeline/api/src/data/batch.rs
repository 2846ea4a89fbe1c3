//! What the series of a table showed.

use std::sync::Arc;
use std::time::Duration;

use super::{Receipt, Table, Value};

/// What the series of one table showed: a value each, when it was read, and since when it counts.
#[derive(Clone, Debug)]
pub struct Batch {
    table: Arc<Table>,
    starts_unix_nano: Arc<[u64]>,
    times_unix_nano: Times,
    values: Arc<Vec<Value>>,
    sweep: Sweep,
    points: usize,
    ended: usize,
    receipt: Option<Arc<Receipt>>,
}

impl Batch {
    /// A batch of one value and one start (unix ns, 0: not known) a series.
    ///
    /// # Panics
    /// If the lengths differ: a mistake in the component, not in its input.
    #[must_use]
    pub fn new(
        table: Arc<Table>,
        starts_unix_nano: Arc<[u64]>,
        times_unix_nano: Times,
        values: Vec<Value>,
        sweep: Sweep,
    ) -> Batch {
        assert_eq!(table.len(), values.len(), "a batch has one value a series");
        assert_eq!(
            table.len(),
            starts_unix_nano.len(),
            "a batch has one start a series"
        );
        if let Times::Each(times) = &times_unix_nano {
            assert_eq!(
                table.len(),
                times.len(),
                "a batch has one time, or one a series"
            );
        }
        let (points, ended) = count(&values);
        Batch {
            table,
            starts_unix_nano,
            times_unix_nano,
            values: Arc::new(values),
            sweep,
            points,
            ended,
            receipt: None,
        }
    }

    /// A batch without series, that only says that a sweep of the subsystem has ended.
    #[must_use]
    pub fn only_last(&self) -> Batch {
        let table = Table::new(Arc::clone(self.table.head()), Vec::new());
        Batch::new(
            table,
            Arc::default(),
            self.times_unix_nano.first(),
            Vec::new(),
            Sweep {
                last: true,
                ..self.sweep
            },
        )
    }

    /// The same readings under another table: `rows` are the rows of this batch that it has, all where it is `None`.
    ///
    /// # Panics
    /// If the new table has another number of rows.
    #[must_use]
    pub fn with_table(&self, table: Arc<Table>, rows: Option<&[u32]>) -> Batch {
        let Some(rows) = rows else {
            assert_eq!(table.len(), self.table.len(), "a table of as many rows");
            return Batch {
                table,
                ..self.clone()
            };
        };
        let starts = rows
            .iter()
            .map(|row| self.starts_unix_nano[*row as usize])
            .collect();
        let values = rows
            .iter()
            .map(|row| self.values[*row as usize].clone())
            .collect();
        let times = match &self.times_unix_nano {
            Times::One(time) => Times::One(*time),
            Times::Each(times) => {
                Times::Each(rows.iter().map(|row| times[*row as usize]).collect())
            }
        };
        Batch {
            receipt: self.receipt.clone(),
            ..Batch::new(table, starts, times, values, self.sweep)
        }
    }

    /// The same rows with other values.
    ///
    /// # Panics
    /// If there is not one a series.
    #[must_use]
    pub fn with_values(&self, values: Vec<Value>) -> Batch {
        assert_eq!(
            self.table.len(),
            values.len(),
            "a batch has one value a series"
        );
        let (points, ended) = count(&values);
        Batch {
            values: Arc::new(values),
            points,
            ended,
            ..self.clone()
        }
    }

    /// The same rows with other starts.
    ///
    /// # Panics
    /// If there is not one a series.
    #[must_use]
    pub fn with_starts(&self, starts_unix_nano: Arc<[u64]>) -> Batch {
        assert_eq!(
            self.table.len(),
            starts_unix_nano.len(),
            "a batch has one start a series"
        );
        Batch {
            starts_unix_nano,
            ..self.clone()
        }
    }

    /// The same, ending its sweep or not.
    #[must_use]
    pub fn with_last(&self, last: bool) -> Batch {
        Batch {
            sweep: Sweep { last, ..self.sweep },
            ..self.clone()
        }
    }

    /// The same of a table that is due so often, if that is less often than was known.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Batch {
        self.sweep.interval = self.sweep.interval.max(interval);
        self
    }

    /// The same, come by this pipeline.
    #[must_use]
    pub fn by_pipeline(mut self, number: u32) -> Batch {
        self.sweep.route.pipeline = number;
        self
    }

    /// The same, come from this receiver.
    #[must_use]
    pub fn by_receiver(mut self, number: u32) -> Batch {
        self.sweep.route.receiver = number;
        self
    }

    /// The same, of a request that is also kept elsewhere: what is made of it has the receipt too.
    #[must_use]
    pub fn with_receipt(self, receipt: Arc<Receipt>) -> Batch {
        let receipt = Some(receipt);
        Batch { receipt, ..self }
    }

    /// What tells that it is done with, if anybody wants to know.
    #[must_use]
    pub fn receipt(&self) -> Option<&Arc<Receipt>> {
        self.receipt.as_ref()
    }

    /// Whose readings these are.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Since when each cumulative value counts, unix ns, 0 where it is not known.
    #[must_use]
    pub fn starts_unix_nano(&self) -> &Arc<[u64]> {
        &self.starts_unix_nano
    }

    /// When this row was read, unix ns.
    #[must_use]
    pub fn time_unix_nano(&self, row: usize) -> u64 {
        self.times_unix_nano.of(row)
    }

    /// One value a series.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// How many bytes of memory its values and their times take, without the table.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        let times = match &self.times_unix_nano {
            Times::One(_) => 0,
            Times::Each(times) => size_of_val(&**times),
        };
        let rows = self.table.histograms().iter();
        let beside: usize = rows.map(|row| self.values[*row].heap_bytes()).sum();
        size_of_val(&**self.values) + times + beside
    }

    /// The same values, to be kept when the batch has gone.
    pub(crate) fn shared_values(&self) -> Arc<Vec<Value>> {
        Arc::clone(&self.values)
    }

    /// When its rows were read.
    #[must_use]
    pub fn times(&self) -> &Times {
        &self.times_unix_nano
    }

    /// Which sweep it belongs to.
    #[must_use]
    pub fn sweep(&self) -> Sweep {
        self.sweep
    }

    /// How many points go out: all values but the absent ones.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points
    }

    /// Whether a series ends here.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended > 0
    }
}

fn count(values: &[Value]) -> (usize, usize) {
    values
        .iter()
        .fold((0, 0), |(points, ended), value| match value {
            Value::Absent => (points, ended),
            Value::Ended => (points + 1, ended + 1),
            _ => (points + 1, ended),
        })
}

/// The points of a request.
#[must_use]
pub fn points(request: &[Batch]) -> u64 {
    request.iter().map(|batch| batch.points as u64).sum()
}

/// When the rows of a batch were read, unix ns.
#[derive(Clone, Debug)]
pub enum Times {
    /// All at once.
    One(u64),
    /// Each at its own time, one a row.
    Each(Arc<[u64]>),
}

impl Times {
    /// When this row was read, unix ns.
    pub(crate) fn of(&self, row: usize) -> u64 {
        match self {
            Times::One(time) => *time,
            Times::Each(times) => times[row],
        }
    }

    fn first(&self) -> Times {
        Times::One(match self {
            Times::One(time) => *time,
            Times::Each(times) => times.first().copied().unwrap_or_default(),
        })
    }
}

/// Which sweep of its subsystem a batch belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sweep {
    /// The receiver's tick, missed ones counted too.
    pub number: u64,
    /// The time from tick to tick.
    pub tick: Duration,
    /// The time from one batch of the table to the next one, where it is not due at each tick; else the tick.
    pub interval: Duration,
    /// Whether it is the last batch of this sweep of its subsystem.
    pub last: bool,
    /// By which way it came.
    pub route: Route,
}

/// By which way a batch came. What comes of one subsystem by two ways are two sweeps, whose numbers have nothing to do with
/// each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Route {
    /// The receiver, counted from 1; 0 where that is not known.
    pub receiver: u32,
    /// The pipeline, counted from 1, where several lead to one exporter; else 0.
    pub pipeline: u32,
}

impl Sweep {
    /// A sweep's batch. By which way it came is said by those who pass it on.
    #[must_use]
    pub fn new(number: u64, tick: Duration, last: bool) -> Sweep {
        let route = Route::default();
        Sweep {
            number,
            tick,
            interval: tick,
            last,
            route,
        }
    }
}
