//! Series that the API refuses for the time being. Each waits alone, with its newest point; it is tried again with a back-off.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::map::tables::MappedTable;
use crate::send::backoff::{Attempts, Pauses};
use crate::send::pace::{OutgoingPoint, Reading};

/// The pauses before a series is tried again.
const PAUSES: Pauses = Pauses {
    first: Duration::from_secs(5),
    longest: Duration::from_mins(1),
};
/// Series that are due within this time are tried together.
const DUE_SOON: Duration = Duration::from_secs(1);
/// How long a point waits that no newer one replaces, as long as the service tries a request.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// The series that wait, by id.
#[derive(Debug, Default)]
pub(crate) struct DeferredSeries {
    all: HashMap<u128, Deferred>,
    /// The end has come, and what was left is counted.
    is_closed: bool,
}

/// A series of a mapped table.
#[derive(Clone, Debug)]
pub(crate) struct SeriesRef {
    pub(crate) table: Arc<MappedTable>,
    pub(crate) row: usize,
}

/// The newest point of a series that waits.
#[derive(Clone, Debug)]
pub(crate) struct WaitingPoint {
    pub(crate) series: SeriesRef,
    pub(crate) reading_time: u64,
    pub(crate) point: OutgoingPoint,
    /// The API has refused this very point before.
    pub(crate) is_resent: bool,
}

#[derive(Debug)]
struct Deferred {
    waiting: WaitingPoint,
    /// Since when this point waits.
    since: Instant,
    attempts: Attempts,
    is_sending: bool,
    /// What was read while the point is being sent.
    arrived: Vec<(SeriesRef, Reading)>,
}

/// What follows for a series that was tried again.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// What was read meanwhile, to be admitted now.
    pub(crate) arrived: Vec<(SeriesRef, Reading)>,
    /// The point has waited for too long and is given up.
    pub(crate) is_given_up: bool,
}

impl DeferredSeries {
    pub(crate) fn contains(&self, id: u128) -> bool {
        self.all.contains_key(&id)
    }

    /// How many points wait.
    pub(crate) fn points(&self) -> u64 {
        let points = self.all.values().map(|it| 1 + it.arrived.len() as u64);
        points.sum()
    }

    /// A point was refused: its series waits from now on.
    pub(crate) fn refused(&mut self, id: u128, waiting: WaitingPoint) -> Option<WaitingPoint> {
        let replaced = self.put(id, waiting);
        self.back_off(id);
        replaced
    }

    /// The point waits in the place of the one that it returns. A series that did not wait is due at once.
    pub(crate) fn put(&mut self, id: u128, waiting: WaitingPoint) -> Option<WaitingPoint> {
        let now = Instant::now();
        if let Some(known) = self.all.get_mut(&id) {
            known.since = now;
            return Some(std::mem::replace(&mut known.waiting, waiting));
        }
        let new = Deferred {
            waiting,
            since: now,
            attempts: Attempts::new(),
            is_sending: false,
            arrived: Vec::new(),
        };
        self.all.insert(id, new);
        None
    }

    /// Keeps a reading of a series whose point is being sent; gives it back where none is.
    pub(crate) fn arrive(
        &mut self,
        id: u128,
        series: SeriesRef,
        reading: Reading,
    ) -> Result<(), (SeriesRef, Reading)> {
        match self.all.get_mut(&id) {
            Some(known) if known.is_sending => {
                known.arrived.push((series, reading));
                Ok(())
            }
            _ => Err((series, reading)),
        }
    }

    /// When the next series is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let waiting = self.all.values().filter(|it| !it.is_sending);
        waiting.map(|it| it.attempts.due()).min()
    }

    /// The points that are due now or soon, which are being sent from now on.
    pub(crate) fn take_due(&mut self) -> Vec<(u128, WaitingPoint)> {
        let until = Instant::now() + DUE_SOON;
        let due = self.all.iter_mut().filter_map(|(id, it)| {
            let is_due = !it.is_sending && it.attempts.due() <= until;
            is_due.then(|| {
                it.is_sending = true;
                (*id, it.waiting.clone())
            })
        });
        due.collect()
    }

    /// The point that was being sent has its answer: the series waits no longer.
    pub(crate) fn answered(&mut self, id: u128) -> Tried {
        let arrived = self.all.remove(&id).map(|it| it.arrived);
        Tried {
            arrived: arrived.unwrap_or_default(),
            is_given_up: false,
        }
    }

    /// The point that was being sent was refused again.
    pub(crate) fn refused_again(&mut self, id: u128) -> Tried {
        let Some(known) = self.all.get_mut(&id) else {
            return Tried::default();
        };
        (known.is_sending, known.waiting.is_resent) = (false, true);
        let is_given_up = known.since.elapsed() >= MAX_WAIT;
        let arrived = std::mem::take(&mut known.arrived);
        self.back_off(id);
        if is_given_up {
            self.all.remove(&id);
        }
        Tried {
            arrived,
            is_given_up,
        }
    }

    /// Nobody sends any more: who did was cancelled.
    pub(crate) fn release(&mut self) {
        self.all.values_mut().for_each(|it| it.is_sending = false);
    }

    /// No point waits from now on. Returns how many did.
    pub(crate) fn close(&mut self) -> u64 {
        let left = self.points();
        (self.all, self.is_closed) = (HashMap::new(), true);
        left
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn back_off(&mut self, id: u128) {
        if let Some(known) = self.all.get_mut(&id) {
            known.attempts.failed(PAUSES);
        }
    }
}
