//! The tasks between receivers and exporters: processors, and the forks where data goes more than one way.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use pipeline::{Batch, Demand, Outbox, Processor, Table, Value, Want, telemetry::Counters};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What an edge carries: batches that go out together.
pub(crate) type Request = Vec<Batch>;

/// Runs a processor until its channel closes; then it lets out what it holds.
pub(crate) async fn processor(
    mut stage: Box<dyn Processor>,
    mut from: mpsc::Receiver<Request>,
    to: mpsc::Sender<Request>,
    counters: Counters,
) {
    let mut out = Outbox::new(counters);
    loop {
        let wake = stage.wake_at();
        let request = tokio::select! {
            biased;
            request = from.recv() => match request {
                Some(request) => request,
                None => break,
            },
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                let done = stage.wake(&mut out);
                note(done, 0, &mut out);
                Request::new()
            }
        };
        for batch in request {
            let points = batch.points();
            let done = stage.process(batch, &mut out);
            note(done, points, &mut out);
        }
        if !send(&to, &mut out).await {
            return;
        }
    }
    let done = stage.flush(&mut out);
    note(done, 0, &mut out);
    send(&to, &mut out).await;
}

/// A bad batch costs itself, never the pipeline.
fn note(done: pipeline::Result<()>, points: usize, out: &mut Outbox) {
    if let Err(error) = done {
        out.dropped(points, "processor_error");
        out.warn_once(format!("a batch is lost: {error}"));
    }
}

async fn send(to: &mpsc::Sender<Request>, out: &mut Outbox) -> bool {
    for request in out.take() {
        if let Err(unsent) = to.send(request).await {
            let left: usize = unsent.0.iter().map(Batch::points).sum();
            out.dropped(left, "closed");
            return false;
        }
    }
    true
}

/// One of the ways that data goes at a fork.
pub(crate) struct Way {
    pub(crate) to: mpsc::Sender<Request>,
    pub(crate) demand: Demand,
}

/// Sends each table the ways that want it, when it is due there.
pub(crate) async fn fork(mut from: mpsc::Receiver<Request>, ways: Vec<Way>, counters: Counters) {
    let mut turns: Vec<Turns> = ways.iter().map(|_| Turns::default()).collect();
    while let Some(request) = from.recv().await {
        for (way, turns) in ways.iter().zip(&mut turns) {
            let due: Request = request
                .iter()
                .filter_map(|batch| turns.due(batch, &way.demand, &counters))
                .collect();
            // An end that is closed has ended with an error of its own, or takes nothing any more.
            if !due.is_empty() && way.to.send(due).await.is_err() {
                counters.add("points_dropped", "closed", pipeline::points(&request));
            }
        }
    }
}

/// When each place last went a way.
#[derive(Default)]
struct Turns(HashMap<Arc<str>, Turn>);

struct Turn {
    table: Weak<Table>,
    want: Want,
    last: Option<u64>,
}

impl Turns {
    /// What of a batch goes this way: all of it, only the ends of series, or only the end of its sweep.
    fn due(&mut self, batch: &Batch, demand: &Demand, counters: &Counters) -> Option<Batch> {
        let table = batch.table();
        if table.is_empty() {
            return Some(batch.clone());
        }
        let place = &table.head().table_slot;
        if self
            .0
            .get(place)
            .is_none_or(|turn| !std::ptr::eq(turn.table.as_ptr(), Arc::as_ptr(table)))
        {
            let wants = table
                .series()
                .iter()
                .map(|series| demand.want(table.head(), series));
            let want = wants.fold(Want::Never, Want::or);
            let last = self.0.get(place).and_then(|turn| turn.last);
            if last.is_none() {
                self.0.retain(|_, turn| turn.table.strong_count() > 0);
            }
            self.0.insert(
                Arc::clone(place),
                Turn {
                    table: Arc::downgrade(table),
                    want,
                    last,
                },
            );
        }
        let turn = self.0.get_mut(place)?;
        let sweep = batch.sweep();
        let now = turn.want.turn(sweep.number, sweep.tick);
        if now.is_some() && now != turn.last {
            turn.last = now;
            return Some(batch.clone());
        }
        let held = if now.is_some() && batch.has_ended() {
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
        let reason = if now.is_some() { "not_due" } else { "filtered" };
        counters.add(
            "points_dropped",
            reason,
            (batch.points() - held.as_ref().map_or(0, Batch::points)) as u64,
        );
        held
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipeline::{Sweep, Times, formats::text};

    use super::*;

    #[test]
    fn a_way_gets_a_table_when_it_is_due_there_and_every_end_of_a_series_at_once() {
        let first = &text::parse("kvm/exits 1\nkvm/gone 2").unwrap()[0];
        let counters = Counters::new("test");
        let slow = Demand::everything().at_most(|_, _| Some(Duration::from_secs(3)));
        let mut turns = Turns::default();
        let mut points = Vec::new();
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
            let due = turns
                .due(&batch, &slow, &counters)
                .expect("at least the end of the sweep");
            assert!(due.sweep().last);
            points.push(due.points());
        }
        assert_eq!(points, [2, 0, 0, 2, 1, 0, 2]);
        assert_eq!(counters.total("points_dropped"), 2 + 2 + 1 + 2);
    }
}
