//! Where several receivers or pipelines lead to one exporter: each series goes through once.
//!
//! Two stages, each a task of its own where it is needed at all. What comes by one of several pipelines gets table slots of
//! that pipeline, since two that come of one receiver have the same. Then, before the exporter, the first series of an
//! identity stays, and others are dropped, counted and named. A table is looked at once; what is known dies with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::{Batch, Head, Memo, Outbox, PerSeries, Processor, Result, Series, Table, Verdict};

/// Which pipelines lead to each exporter, and how many ways there are from a receiver to it.
pub(crate) struct Joins(BTreeMap<String, Join>);

#[derive(Default)]
struct Join {
    pipelines: Vec<String>,
    ways: usize,
}

impl Joins {
    /// Of pipelines with their names, the number of their receivers, and the ids of their exporters.
    pub(crate) fn new<'a>(
        pipelines: impl Iterator<Item = (&'a str, usize, &'a [String])>,
    ) -> Joins {
        let mut joins: BTreeMap<String, Join> = BTreeMap::new();
        for (name, receivers, exporters) in pipelines {
            for exporter in exporters {
                let join = joins.entry(exporter.clone()).or_default();
                join.pipelines.push(name.to_owned());
                join.ways += receivers;
            }
        }
        Joins(joins)
    }

    /// The stage before an exporter that several ways lead to, and what it is called: by its pipelines. With `one_sweep`
    /// it knows all tables until the end: a receiver may be done, and its tables gone, before another one begins.
    pub(crate) fn before(&self, exporter: &str, one_sweep: bool) -> Option<(String, FirstOfEach)> {
        let join = self.0.get(exporter).filter(|join| join.ways > 1)?;
        Some((join.pipelines.join(", "), FirstOfEach::new(one_sweep)))
    }

    /// The stage at the end of a pipeline, where it is not the only one that leads to the exporter.
    pub(crate) fn end_of(&self, pipeline: &str, exporter: &str) -> Option<Memo<SlotsOf>> {
        let join = self.0.get(exporter)?;
        let is_shared = join.pipelines.len() > 1;
        is_shared.then(|| Memo::new(SlotsOf(pipeline.to_owned())))
    }
}

/// Lets the first series of each identity through.
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
    fn new(one_sweep: bool) -> FirstOfEach {
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

/// Gives tables slots of this pipeline.
pub(crate) struct SlotsOf(String);

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
    fn only_what_is_joined_has_a_stage() {
        let (one, both) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
        let joins = Joins::new([("m/1", 1, &both[..]), ("m/2", 1, &one[..])].into_iter());
        assert_eq!(
            joins.before("a", false).map(|(name, _)| name),
            Some("m/1, m/2".into())
        );
        assert!(joins.end_of("m/1", "a").is_some());
        assert!(joins.before("b", false).is_none() && joins.end_of("m/1", "b").is_none());
        let joins = Joins::new([("m", 2, &one[..])].into_iter());
        assert!(joins.before("a", false).is_some() && joins.end_of("m", "a").is_none());
    }

    #[test]
    fn one_table_by_two_pipelines_goes_through_once_and_others_are_passed_on_as_they_are() {
        let counters = Counters::new("m/1, m/2");
        let mut out = Outbox::new(counters.clone());
        let batch = &text::parse("net/rx{device=/eth0} 1 counter\nnet/tx - counter").unwrap()[0];
        let mut ways = ["m/1", "m/2"].map(|it| Memo::<_, ()>::new(SlotsOf(it.into())));
        let mut first_of_each = FirstOfEach::new(false);
        for sweep in 1..4 {
            let [first, second] = ways.each_mut().map(|way| process(way, batch, &mut out));
            assert!(first.table().head().table_slot.contains(" in m/1"));
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
        assert_processor_forgets_tables(&mut Memo::<_, ()>::new(SlotsOf("m".into())), batch);
    }
}
