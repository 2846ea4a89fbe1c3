//! Lets a point through when its value is another than before: a processor that sees values.

use pipeline::telemetry::DropReason;
use pipeline::{Batch, Component, Context, Demand, Outbox, Processor, Result, TableMap, Value, schemars, serde};

/// It has no options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields)]
#[schemars(crate = "pipeline::schemars")]
pub struct Config {}

/// What a point that shows nothing new is dropped for: no loss.
const UNCHANGED: DropReason = DropReason::intended("unchanged");

/// The values that each table last showed.
pub struct Changed(TableMap<Vec<Value>>);

pipeline::register! { processor Changed }

impl Component for Changed {
    const TYPE: &'static str = "changed";
    type Config = Config;

    fn build(_: Config, _: &Context) -> Result<Changed> {
        Ok(Changed(TableMap::new()))
    }
}

impl Processor for Changed {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        let table = batch.table();
        let last = self.0.get_or_insert_with(table, || vec![Value::Absent; table.len()]);
        let values = batch.values().iter().zip(last).map(|(value, last)| {
            let same = *value == *last;
            if *value != Value::Absent {
                *last = value.clone();
            }
            if same { Value::Absent } else { value.clone() }
        });
        let changed = batch.with_values(values.collect());
        out.dropped(batch.points() - changed.points(), UNCHANGED);
        out.pass(changed);
        Ok(())
    }

    /// What nobody wants below would not be let out.
    fn demand(&self, below: Demand) -> Demand {
        below
    }
}

#[test]
fn what_stays_the_same_goes_out_once() {
    let mut stage = pipeline::testing::processor::<Changed>("{}");
    let batches = pipeline::formats::text::parse("s/a 1\ns/b 2").unwrap();
    let mut out = Outbox::new(pipeline::testing::context().counters);
    let mut points = Vec::new();
    for values in [[1, 2], [1, 3], [1, 3]] {
        let values = values.map(Value::Int).to_vec();
        stage.process(batches[0].with_values(values), &mut out).unwrap();
        points.push(pipeline::points(&out.take().concat()));
    }
    assert_eq!(points, [2, 1, 0]);
    pipeline::testing::assert_contracts::<Changed>(include_str!("../README.md"), "{}", "s/a 1\ns/b -\nt/c end");
}
