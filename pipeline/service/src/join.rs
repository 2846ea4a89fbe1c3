//! Where several receivers lead to one pipeline, or several pipelines to one exporter: each series goes through once.
//!
//! The first series of an identity stays; others are dropped, counted and named. What comes by one of several pipelines gets
//! table slots of that pipeline before, since two that come of one receiver have the same, and that pipeline's number in the
//! route of each batch. A table is looked at once, and what is known dies with it: some 40 bytes a series, where there is
//! such a stage at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::{
    Batch, Demand, Head, Memo, Outbox, PerSeries, Processor, Result, Series, Table, Verdict,
};

/// The pipelines that lead to each exporter, where they are several.
pub(crate) struct Joins(BTreeMap<String, Vec<String>>);

impl Joins {
    /// Of pipelines with their names and the ids of their exporters.
    pub(crate) fn new<'a>(pipelines: impl Iterator<Item = (&'a str, &'a [String])>) -> Joins {
        let mut joins: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, exporters) in pipelines {
            for exporter in exporters {
                let names = joins.entry(exporter.clone()).or_default();
                names.push(name.to_owned());
            }
        }
        joins.retain(|_, names| names.len() > 1);
        Joins(joins)
    }

    /// The names of the pipelines that come together before an exporter; `None` where one alone leads to it.
    pub(crate) fn before(&self, exporter: &str) -> Option<String> {
        self.0.get(exporter).map(|names| names.join(", "))
    }
}

/// The stage that lets the first series of each identity through.
pub(crate) struct FirstOfEach {
    memo: Memo<AllSeries>,
    /// What is held until the end.
    tables: Option<Vec<Arc<Table>>>,
}

/// Keeps all series; that no two are the same is the memo's matter.
struct AllSeries;

impl PerSeries for AllSeries {
    fn rewrite(&self, _: &Head, _: &mut Series) -> Verdict {
        Verdict::Keep
    }
}

impl FirstOfEach {
    /// With `one_sweep` it knows all tables until the end: a receiver may be done, and its tables gone, before another one
    /// begins.
    pub(crate) fn new(one_sweep: bool) -> FirstOfEach {
        FirstOfEach {
            memo: Memo::new(AllSeries),
            tables: one_sweep.then(Vec::new),
        }
    }
}

impl Processor for FirstOfEach {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        if let Some(tables) = &mut self.tables {
            tables.push(Arc::clone(batch.table()));
        }
        self.memo.process(batch, out)
    }
}

/// The stage that says by which pipeline a batch came: in its route, and in the slots of tables.
pub(crate) struct Way {
    slots: Memo<SlotsOf>,
    number: u32,
}

impl Way {
    pub(crate) fn new(pipeline: &str, number: u32) -> Way {
        Way {
            slots: Memo::new(SlotsOf(pipeline.to_owned())),
            number,
        }
    }
}

impl Processor for Way {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        self.slots.process(batch.by_pipeline(self.number), out)
    }

    fn demand(&self, below: Demand) -> Demand {
        self.slots.demand(below)
    }
}

/// Gives tables slots of this pipeline.
struct SlotsOf(String);

impl PerSeries for SlotsOf {
    fn rewrite(&self, _: &Head, _: &mut Series) -> Verdict {
        Verdict::Keep
    }

    fn head(&self, head: &mut Head) {
        let (component, rest) = head.table_slot.split_at(head.component().len());
        let slot = format!("{component} in {}{rest}", self.0);
        *head = head.with_table_slot(slot.into());
    }

    fn renames(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use pipeline::formats::text;
    use pipeline::telemetry::{Counter, Counters};
    use pipeline::testing::{assert_processor_forgets_tables, batch_of_its_own};
    use pipeline::{Batch, Outbox, Processor};

    use super::*;

    fn process(stage: &mut dyn Processor, batch: &Batch, out: &mut Outbox) -> Batch {
        stage.process(batch.clone(), out).unwrap();
        out.take().concat().remove(0)
    }

    #[test]
    fn pipelines_are_joined_where_several_lead_to_one_exporter() {
        let (one, both) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
        let joins = Joins::new([("m/1", &both[..]), ("m/2", &one[..])].into_iter());
        assert_eq!(joins.before("a").as_deref(), Some("m/1, m/2"));
        assert_eq!(joins.before("b"), None);
    }

    #[test]
    fn one_table_by_two_pipelines_goes_through_once_and_others_are_passed_on_as_they_are() {
        let counters = Counters::new("m/1, m/2");
        let mut out = Outbox::new(counters.clone());
        let batch = &text::parse("net/rx{device=/eth0} 1 counter\nnet/tx - counter").unwrap()[0];
        let mut ways = [("m/1", 1), ("m/2", 2)].map(|(name, number)| Way::new(name, number));
        let mut first_of_each = FirstOfEach::new(false);
        for sweep in 1..4 {
            let [first, second] = ways.each_mut().map(|way| process(way, batch, &mut out));
            assert!(first.table().head().table_slot.contains(" in m/1"));
            let routes = [&first, &second].map(|it| it.sweep().route.pipeline);
            assert_eq!(routes, [1, 2]);
            let passed = process(&mut first_of_each, &first, &mut out);
            assert!(Arc::ptr_eq(passed.table(), first.table()));
            let rest = process(&mut first_of_each, &second, &mut out);
            assert_eq!((passed.points(), rest.points()), (1, 0));
            assert_eq!(counters.lost(), sweep);
        }
        assert_eq!(
            counters.total(Counter::SERIES_REFUSED.name()),
            2,
            "once each"
        );
    }

    #[test]
    fn where_there_is_one_sweep_a_table_that_has_gone_is_known_until_the_end() {
        let points = |one_sweep: bool| {
            let mut out = Outbox::new(Counters::new("m"));
            let mut stage = FirstOfEach::new(one_sweep);
            ["r/1", "r/2"].map(|slot| {
                let batch = text::parse("s/x{k=v} 1").unwrap().remove(0);
                let head = batch.table().head().with_table_slot(slot.into());
                let table = Table::new(Arc::new(head), batch.table().series().to_vec());
                let batch = batch.with_table(table, None);
                process(&mut stage, &batch, &mut out).points()
            })
        };
        assert_eq!((points(false), points(true)), ([1, 1], [1, 0]));
    }

    #[test]
    fn what_is_known_of_a_table_dies_with_it() {
        let batch = |number| batch_of_its_own(number, 2);
        assert_processor_forgets_tables(&mut FirstOfEach::new(false), batch);
        assert_processor_forgets_tables(&mut Way::new("m", 1), batch);
    }
}
