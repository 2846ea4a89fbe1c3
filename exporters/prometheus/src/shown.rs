//! What is shown: the last whole sweep of each subsystem.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::formats::prometheus::{Exposition, Settings, Snapshot};
use pipeline::telemetry::Counters;
use pipeline::{Batch, Route, Table};

/// A subsystem that comes by one way.
type SweepOf = (Route, Arc<str>);

/// What is shown, shared by the pipeline and those who scrape.
#[derive(Debug)]
pub(crate) struct Shown(Mutex<State>);

#[derive(Debug)]
struct State {
    exposition: Exposition,
    /// The sweeps of which a part has come: the number, and the tables.
    begun: HashMap<SweepOf, (u64, Vec<Arc<Table>>)>,
    /// Rises with all that is published.
    version: u64,
}

impl Shown {
    pub(crate) fn new(settings: Settings, counters: Counters) -> Shown {
        Shown(Mutex::new(State {
            exposition: Exposition::new(settings, counters),
            begun: HashMap::new(),
            version: 0,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a request. A sweep is shown once all of it has come, or its next one begins. Returns how many points have no
    /// place in the exposition.
    pub(crate) fn take(&self, request: &[Batch]) -> u64 {
        let mut state = self.lock();
        request.iter().map(|batch| state.take(batch)).sum()
    }

    /// What is shown now, and its version; without what has not been shown for longer than `expiration`.
    pub(crate) fn snapshot(&self, expiration: Duration) -> (Snapshot, u64) {
        let mut state = self.lock();
        state.exposition.forget_expired(expiration);
        (state.exposition.snapshot(), state.version)
    }

    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }
}

impl State {
    fn take(&mut self, batch: &Batch) -> u64 {
        let (table, sweep) = (batch.table(), batch.sweep());
        let of = (sweep.route, Arc::clone(&table.head().subsystem));
        if self
            .begun
            .get(&of)
            .is_some_and(|(number, _)| *number != sweep.number)
        {
            self.publish(&of);
        }
        let left_out = self.exposition.take(batch);
        let begun = self.begun.entry(of.clone()).or_default();
        begun.0 = sweep.number;
        begun.1.push(Arc::clone(table));
        if sweep.last {
            self.publish(&of);
        }
        left_out
    }

    fn publish(&mut self, of: &SweepOf) {
        let (_, tables) = self.begun.remove(of).unwrap_or_default();
        self.exposition.publish(&tables);
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::Value;
    use pipeline::formats::prometheus::{Escaping, Format};
    use pipeline::formats::text;

    fn lines(shown: &Shown) -> Vec<String> {
        let (snapshot, _) = shown.snapshot(Duration::from_mins(5));
        let text = snapshot.write(Format::Text, Escaping::Underscores);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(String::from).collect()
    }

    #[test]
    fn a_sweep_is_shown_once_all_of_it_has_come_or_the_next_one_begins() {
        let shown = Shown::new(Settings::default(), Counters::new("prometheus"));
        let batch = &text::parse("s/a 1 gauge").unwrap()[0];
        let show = |value, last| {
            let batch = batch.with_values(vec![Value::Int(value)]).with_last(last);
            shown.take(&[batch]);
            lines(&shown)
        };
        assert_eq!(show(1, false), Vec::<String>::new());
        assert_eq!(show(2, true), ["s_a 2"]);
        assert_eq!(show(3, false), ["s_a 2"]);
        shown.take(&[batch.only_last()]);
        assert_eq!(lines(&shown), ["s_a 3"]);
    }

    #[test]
    fn the_end_of_a_sweep_shows_nothing_of_what_has_come_of_another_ones_by_another_way() {
        let shown = Shown::new(Settings::default(), Counters::new("prometheus"));
        let batches = [("s/a 1 gauge", "x/s/1"), ("s/b 1 gauge", "x/s/2")].map(|(points, slot)| {
            let batch = text::parse(points).unwrap().remove(0);
            let head = batch.table().head().with_table_slot(slot.into());
            let table = Table::new(Arc::new(head), batch.table().series().to_vec());
            batch.with_table(table, None)
        });
        let show = |index: usize, value, last| {
            let batch = batches[index].with_values(vec![Value::Int(value)]);
            let number = u32::try_from(index).unwrap();
            shown.take(&[batch.with_last(last).by_pipeline(number)]);
            lines(&shown)
        };
        show(0, 1, true);
        assert_eq!(show(1, 1, true), ["s_a 1", "s_b 1"]);
        // Half of what comes by the one way, and the end of the other one's.
        show(0, 2, false);
        assert_eq!(show(1, 2, true), ["s_a 1", "s_b 2"]);
        assert_eq!(show(0, 3, true), ["s_a 3", "s_b 2"]);
    }
}
