//! Tries the series again that the API refuses for the time being, and accounts for their points: whoever handed them over
//! has heard no more of them than that they are held back.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use pipeline::Shutdown;
use pipeline::telemetry::{Counter, DropReason};
use tokio::time::{sleep_until, timeout};

use crate::Gcp;
use crate::map::tables::MappedTable;
use crate::send::deferred::{SeriesRef, WaitingPoint};
use crate::send::drop_reasons::{COALESCED, DEFERRED, DUPLICATE, SERIES_REFUSED, SHUTDOWN};
use crate::send::export::ExportOutcome;
use crate::send::pace::{Admission, Reading};
use crate::send::requests::{InFlight, PlannedRequests, PointRef};
use crate::send::series_states::SeriesStates;

/// How long an attempt may take: as long as a request of the pipeline by default.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(12);
/// Points of series that the API refuses for the time being.
const POINTS_DEFERRED: Counter = Counter::gauge("points_deferred");

impl Gcp {
    /// Lets points wait. Nothing is awaited from here to the end of the export: one that is cancelled has let none wait.
    pub(super) fn defer(&self, tables: &[Arc<MappedTable>], export: &mut ExportOutcome) {
        let now = (self.now)();
        let series_of = |point_ref: PointRef| SeriesRef {
            table: Arc::clone(&tables[point_ref.batch]),
            row: point_ref.row,
        };
        let mut states = self.series_states();
        for in_flight in std::mem::take(&mut export.refused) {
            let table = &tables[in_flight.point_ref.batch];
            let Some((mapped, _)) = &table.rows[in_flight.point_ref.row] else {
                continue;
            };
            if let Some(state) = states.get(mapped, now) {
                state.defer(mapped.kind, in_flight.reading_time, &in_flight.point);
            }
            let waiting = WaitingPoint {
                series: series_of(in_flight.point_ref),
                reading_time: in_flight.reading_time,
                point: in_flight.point,
                is_resent: true,
            };
            export.deferred += 1;
            if states.deferred.refused(mapped.id, waiting).is_some() {
                self.counters.dropped(COALESCED, 1);
            }
        }
        for (point_ref, reading) in std::mem::take(&mut export.waiting) {
            match self.admit_waiting(&mut states, now, series_of(point_ref), reading) {
                Ok(()) => export.deferred += 1,
                Err(reason) => *export.dropped.entry(reason).or_default() += 1,
            }
        }
        self.deferred_changed(&states);
    }

    /// Tries each series again when it is due, for as long as it is polled.
    pub(crate) async fn retry_deferred(&self) {
        let mut deferred_points = self.deferred_points.subscribe();
        self.series_states().deferred.release();
        loop {
            let next_due = self.series_states().deferred.next_due();
            let due = async {
                match next_due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            let is_due = tokio::select! {
                () = due => true,
                // The sender belongs to this exporter and outlives this future.
                _ = deferred_points.changed() => false,
            };
            if is_due {
                self.send_due().await;
            }
        }
    }

    /// Waits until no series waits any more, or the time is over: what is left is counted then.
    pub(crate) async fn drain_deferred(&self, give_up: Shutdown) {
        let mut deferred_points = self.deferred_points.subscribe();
        tokio::select! {
            _ = deferred_points.wait_for(|points| *points == 0) => {}
            () = give_up.wait() => {
                let mut states = self.series_states();
                let left = states.deferred.close();
                self.counters.dropped(SHUTDOWN, left);
                self.deferred_changed(&states);
            }
        }
    }

    /// Publishes how many points wait.
    pub(crate) fn deferred_changed(&self, states: &SeriesStates) {
        let points = states.deferred.points();
        self.deferred_points.send_if_modified(|known| {
            let is_other = *known != points;
            if is_other {
                *known = points;
                self.counters.record(POINTS_DEFERRED, points);
            }
            is_other
        });
    }

    async fn send_due(&self) {
        let due = self.series_states().deferred.take_due();
        let (mut tables, mut planned) = (Vec::new(), PlannedRequests::default());
        for (batch, (_, waiting)) in due.iter().enumerate() {
            let SeriesRef { table, row } = &waiting.series;
            let in_flight = InFlight {
                point_ref: PointRef { batch, row: *row },
                reading_time: waiting.reading_time,
                point: waiting.point.clone(),
                is_resent: waiting.is_resent,
            };
            planned.add(table, in_flight);
            tables.push(Arc::clone(table));
        }
        let mut outcome = ExportOutcome::default();
        let sending = self.send(&tables, planned.requests, &mut outcome);
        // What has no answer then is tried again, as what was refused.
        let _ = timeout(ATTEMPT_TIMEOUT, sending).await;
        self.settle(due, &outcome);
    }

    /// Accounts for the points that have their answer, and puts the others off.
    fn settle(&self, tried: Vec<(u128, WaitingPoint)>, outcome: &ExportOutcome) {
        let now = (self.now)();
        let mut states = self.series_states();
        if states.deferred.is_closed() {
            return;
        }
        let mut answered = 0_u64;
        for (id, waiting) in tried {
            let is_answered = states.is_answered(&waiting, now);
            let tried = if is_answered {
                answered += 1;
                states.deferred.answered(id)
            } else {
                states.deferred.refused_again(id)
            };
            if tried.is_given_up {
                self.counters.dropped(DEFERRED, 1);
            }
            for (series, reading) in tried.arrived {
                if let Err(reason) = self.admit_waiting(&mut states, now, series, reading) {
                    self.counters.dropped(reason, 1);
                }
            }
        }
        let rejected = outcome.rejected.min(answered);
        self.counters
            .record(Counter::POINTS_SENT, answered - rejected);
        self.counters.record(Counter::POINTS_REJECTED, rejected);
        self.deferred_changed(&states);
    }

    /// A reading of a series that waits: its point waits in the place of the one before it. Fails with the reason where it
    /// is none to send.
    pub(crate) fn admit_waiting(
        &self,
        states: &mut SeriesStates,
        now: u64,
        series: SeriesRef,
        reading: Reading,
    ) -> Result<(), DropReason> {
        let table = Arc::clone(&series.table);
        let Some((mapped, _)) = &table.rows[series.row] else {
            return Err(SERIES_REFUSED);
        };
        let Err((series, reading)) = states.deferred.arrive(mapped.id, series, reading) else {
            return Ok(());
        };
        let Some(state) = states.get(mapped, now) else {
            return Err(DUPLICATE);
        };
        let reading_time = reading.time;
        match self.pace.admit(state, mapped.kind, now, reading) {
            Admission::Send(point) => {
                state.defer(mapped.kind, reading_time, &point);
                let waiting = WaitingPoint {
                    series,
                    reading_time,
                    point,
                    is_resent: false,
                };
                if states.deferred.put(mapped.id, waiting).is_some() {
                    self.counters.dropped(COALESCED, 1);
                }
                Ok(())
            }
            Admission::Dropped(reason) => Err(reason),
            // The same reading came twice.
            Admission::AlreadyAnswered { .. } => Err(COALESCED),
        }
    }
}
