//! What is known of a table dies with it: names that come once and go are not piled up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::processor;
use crate::formats::text;
use crate::telemetry::Counters;
use crate::{
    Attributes, Batch, Component, Exporter, Head, Kind, Outbox, Processor, Scope, Series, Source,
    SourceDirectory, SourceFile, Sweep, Table, Times, Value,
};

/// So many tables come once and go.
const TABLES: u64 = 3_000;

/// Parts of so many of them may still be held at the end: what waits for a successor, a carried value, a bounded cache.
const MAX_HELD: usize = 1_000;

/// Time from sweep to sweep: longer than what is carried over from one to the next stays of use.
const TICK: Duration = Duration::from_mins(1);

/// A batch of a new table of so many series: names, labels, slot and subsystem are this number's own.
#[must_use]
pub fn batch_of_its_own(number: u64, series: u64) -> Batch {
    let directory = format!("once{number}/d{number}");
    let directory = Arc::new(SourceDirectory::new(directory, ""));
    let labels = Arc::new(Attributes::from_iter([("device", format!("/d{number}"))]));
    let series = (0..series).map(|row| {
        let mut file = SourceFile::new(format!("file{number}_{row}"));
        file.same_name_below = true;
        let mut series = Series::new(format!("once{number}/{}", file.name), Arc::clone(&labels));
        series.kind = Kind::COUNTER;
        series.source = Some(Source::new(Arc::clone(&directory), Arc::new(file)));
        (series, Value::Int(1))
    });
    batch(number, series.collect())
}

/// The same with the series of this batch, but for a label.
fn once(number: u64, of: &Batch) -> Batch {
    let series = of.table().series().iter().zip(of.values());
    let series = series.map(|(series, value)| {
        let mut series = series.clone();
        // A name of its own, though it is the same, so that it is seen who holds it.
        series.name = Arc::from(&*series.name);
        let number = number.to_string();
        Arc::make_mut(&mut series.attributes).set("once", number);
        (series, value.clone())
    });
    batch(number, series.collect())
}

fn batch(number: u64, series: Vec<(Series, Value)>) -> Batch {
    let subsystem: Arc<str> = format!("once{number}").into();
    let slot = format!("test/{subsystem}/0").into();
    let resource = Arc::new(Attributes::from_iter([("host.id", "h")]));
    let scope = Arc::new(Scope::new("test", "0.0.0"));
    let head = Head::new(resource, scope, subsystem, slot);
    let (series, values): (Vec<_>, Vec<_>) = series.into_iter().unzip();
    let tick = u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX);
    let (start, time) = (1 + number * tick, (1 + number) * tick);
    let starts = vec![start; values.len()].into();
    let sweep = Sweep::new(number, TICK, true);
    let table = Table::new(Arc::new(head), series);
    Batch::new(table, starts, Times::One(time), values, sweep)
}

/// The shared parts of tables, by which it is seen whether somebody holds them.
#[derive(Default)]
struct Held {
    tables: Vec<Weak<Table>>,
    heads: Vec<Weak<Head>>,
    labels: Vec<Weak<Attributes>>,
    texts: Vec<Weak<str>>,
}

impl Held {
    fn add(&mut self, batch: &Batch) {
        let table = batch.table();
        self.tables.push(Arc::downgrade(table));
        self.heads.push(Arc::downgrade(table.head()));
        if let Some(series) = table.series().first() {
            self.labels.push(Arc::downgrade(&series.attributes));
            self.texts.push(Arc::downgrade(&series.name));
        }
    }

    fn assert_few(&self) {
        fn count<T: ?Sized>(all: &[Weak<T>]) -> usize {
            all.iter().filter(|it| it.strong_count() > 0).count()
        }
        for (what, held) in [
            ("tables", count(&self.tables)),
            ("heads", count(&self.heads)),
            ("sets of labels", count(&self.labels)),
            ("names", count(&self.texts)),
        ] {
            assert!(
                held <= MAX_HELD,
                "of {TABLES} tables that came once and went, {held} {what} are held: what is known of a table dies with it (`TableMap`)"
            );
        }
    }
}

/// A processor does not pile up what it knows of tables that have gone, neither of those that come in nor of those that
/// it makes.
pub(super) fn assert_tables_forgotten<T: Component>(yaml: &str, input: &str) {
    let input = text::parse(input).unwrap_or_else(|why| panic!("the test's input: {why}"));
    assert_processor_forgets_tables(&mut *processor::<T>(yaml), |number| {
        batch_of_its_own(number, 2)
    });
    for of in &input {
        assert_processor_forgets_tables(&mut *processor::<T>(yaml), |number| once(number, of));
    }
}

/// The same of a processor that is built already; `batch` gives each table.
pub fn assert_processor_forgets_tables(stage: &mut dyn Processor, batch: impl Fn(u64) -> Batch) {
    let mut out = Outbox::new(Counters::new("test"));
    let mut held = Held::default();
    for number in 0..TABLES {
        let batch = batch(number);
        held.add(&batch);
        stage
            .process(batch, &mut out)
            .unwrap_or_else(|error| panic!("{error}"));
        out.take().concat().iter().for_each(|it| held.add(it));
    }
    // What it holds back is not what it knows.
    stage
        .flush(&mut out)
        .unwrap_or_else(|error| panic!("{error}"));
    drop(out.take());
    held.assert_few();
}

/// The same of an exporter, whose far side takes what it gets or is not there at all.
pub async fn assert_exporter_forgets_tables(exporter: &dyn Exporter) {
    let mut held = Held::default();
    for number in 0..TABLES {
        let batch = batch_of_its_own(number, 2);
        held.add(&batch);
        // What becomes of it is not asked here.
        drop(exporter.export(&[batch]).await);
    }
    held.assert_few();
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{Result, TableMap};

    /// Counts the batches of each table, and of each name.
    #[derive(Default)]
    struct Counts {
        tables: TableMap<u64>,
        names: HashMap<Arc<str>, u64>,
        keeps_names: bool,
    }

    impl Processor for Counts {
        fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
            *self.tables.get_or_insert_with(batch.table(), || 0) += 1;
            if self.keeps_names {
                let names = batch.table().series().iter();
                names.for_each(|it| *self.names.entry(Arc::clone(&it.name)).or_default() += 1);
            }
            out.pass(batch);
            Ok(())
        }
    }

    #[test]
    fn what_stands_in_a_table_map_is_forgotten() {
        assert_processor_forgets_tables(&mut Counts::default(), |number| {
            batch_of_its_own(number, 2)
        });
    }

    #[test]
    #[should_panic(expected = "names are held")]
    fn a_map_of_names_is_found() {
        let mut counts = Counts {
            keeps_names: true,
            ..Counts::default()
        };
        assert_processor_forgets_tables(&mut counts, |number| batch_of_its_own(number, 2));
    }
}
