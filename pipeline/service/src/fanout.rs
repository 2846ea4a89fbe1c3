//! The fan-out: where data goes to more than one output, or not all of it.

use pipeline::telemetry::{Counters, DropReason};
use pipeline::{Batch, Demand, TableMap, Value, Want, points};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::processor::{Request, close};

/// One of the channels that data goes to.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) to: mpsc::Sender<Request>,
    pub(crate) demand: Demand,
}

/// Sends each table to the outputs that want it, when it is due there. All that have room get it before one that has none
/// is waited for. Ends when no output is open any more.
pub(crate) async fn fanout(
    mut from: mpsc::Receiver<Request>,
    outputs: Vec<Output>,
    counters: Counters,
) {
    let mut trackers: Vec<DueTracker> = outputs.iter().map(|_| DueTracker::default()).collect();
    while let Some(request) = from.recv().await {
        let mut without_room = Vec::new();
        for (output, tracker) in outputs.iter().zip(&mut trackers) {
            let due: Request = request
                .iter()
                .filter_map(|batch| tracker.due(batch, &output.demand, &counters))
                .collect();
            if due.is_empty() {
                continue;
            }
            match output.to.try_send(due) {
                Ok(()) => {}
                Err(TrySendError::Full(due)) => without_room.push((output, due)),
                Err(TrySendError::Closed(due)) => {
                    counters.dropped(DropReason::CLOSED, points(&due));
                }
            }
        }
        for (output, due) in without_room {
            if let Err(unsent) = output.to.send(due).await {
                counters.dropped(DropReason::CLOSED, points(&unsent.0));
            }
        }
        if outputs.iter().all(|output| output.to.is_closed()) {
            return close(from, &counters).await;
        }
    }
}

/// When each table last went to an output.
#[derive(Default)]
struct DueTracker(TableMap<Schedule>);

struct Schedule {
    want: Want,
    last_turn: Option<u64>,
}

impl DueTracker {
    /// What of a batch goes to the output: all of it, only the ends of series, or only the end of its sweep.
    fn due(&mut self, batch: &Batch, demand: &Demand, counters: &Counters) -> Option<Batch> {
        if batch.table().is_empty() {
            return Some(batch.clone());
        }
        let schedule = self.schedule(batch, demand);
        let sweep = batch.sweep();
        let turn = schedule.want.turn(sweep.number, sweep.tick);
        if turn.is_some() && turn != schedule.last_turn {
            schedule.last_turn = turn;
            let interval = schedule.want.interval(sweep.tick);
            return Some(batch.clone().with_interval(interval));
        }
        let due = if turn.is_some() && batch.has_ended() {
            let ended = |value: &Value| {
                if *value == Value::Ended {
                    Value::Ended
                } else {
                    Value::Absent
                }
            };
            Some(batch.with_values(batch.values().iter().map(ended).collect()))
        } else {
            sweep.last.then(|| batch.only_last())
        };
        let reason = if turn.is_some() {
            DropReason::NOT_DUE
        } else {
            DropReason::FILTERED
        };
        let held_back = batch.points() - due.as_ref().map_or(0, Batch::points);
        counters.dropped(reason, held_back as u64);
        due
    }

    /// When the table is due. One that takes another's slot goes on with its turns.
    fn schedule(&mut self, batch: &Batch, demand: &Demand) -> &mut Schedule {
        let table = batch.table();
        if self.0.get(table).is_none() {
            let predecessor = self.0.remove_predecessor(table);
            self.0.remove_gone();
            let series = table.series().iter();
            let wants = series.map(|series| demand.want(table.head(), series));
            let schedule = Schedule {
                want: wants.fold(Want::Never, Want::or),
                last_turn: predecessor.and_then(|schedule| schedule.last_turn),
            };
            self.0.insert(table, schedule);
        }
        self.0.get_mut(table).expect("inserted above")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use pipeline::formats::text;
    use pipeline::{Sweep, Times};

    use super::*;

    fn every_three_seconds() -> Demand {
        Demand::everything().at_most(|_, _| Some(Duration::from_secs(3)))
    }

    #[test]
    fn an_output_gets_a_table_when_it_is_due_there_and_every_end_of_a_series_at_once() {
        let first = &text::parse("kvm/exits 1\nkvm/gone 2").unwrap()[0];
        let counters = Counters::new("test");
        let slow = every_three_seconds();
        let mut tracker = DueTracker::default();
        let (mut points, mut intervals) = (Vec::new(), Vec::new());
        for number in 0..7 {
            let values = vec![
                Value::Int(1),
                if number == 4 {
                    Value::Ended
                } else {
                    Value::Int(2)
                },
            ];
            let sweep = Sweep::new(number, Duration::from_secs(1), true);
            let batch = Batch::new(
                Arc::clone(first.table()),
                first.starts_unix_nano().clone(),
                Times::One(1),
                values,
                sweep,
            );
            let due = tracker
                .due(&batch, &slow, &counters)
                .expect("at least the end of the sweep");
            assert!(due.sweep().last);
            points.push(due.points());
            if due.points() == 2 {
                intervals.push(due.sweep().interval.as_secs());
            }
        }
        assert_eq!(points, [2, 0, 0, 2, 1, 0, 2]);
        assert_eq!(intervals, [3, 3, 3]);
        assert_eq!(counters.total("points_dropped"), 2 + 2 + 1 + 2);
    }

    #[tokio::test]
    async fn a_point_that_was_not_due_at_a_closed_output_is_counted_once() {
        let counters = Counters::new("test");
        let (to, closed) = mpsc::channel(1);
        drop(closed);
        let output = Output {
            to,
            demand: every_three_seconds(),
        };
        let (sender, from) = mpsc::channel(4);
        let due = text::parse("kvm/a 1\nkvm/b 2").unwrap();
        // The second request shows the same table again, one second later: nothing of it is due.
        let sweep = Sweep::new(1, Duration::from_secs(1), true);
        let not_due = Batch::new(
            Arc::clone(due[0].table()),
            due[0].starts_unix_nano().clone(),
            Times::One(1),
            due[0].values().to_vec(),
            sweep,
        );
        sender.send(due).await.unwrap();
        sender.send(vec![not_due]).await.unwrap();
        drop(sender);
        fanout(from, vec![output], counters.clone()).await;
        assert_eq!(counters.total("points_dropped"), 2 + 2);
    }
}
