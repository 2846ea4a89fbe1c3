//! Reads the load of the last 1, 5 and 15 minutes: a receiver.

use std::path::Path;
use std::sync::Arc;

use pipeline::config::Duration;
use pipeline::{Attributes, Batch, Component, Context, Demand, Head, Kind, Outlet, Receiver, ReceiverClock, Result, Right, Series};
use pipeline::{StartupReport, Sweep, Table, Times, Value, Want, async_trait, now_unix_nano, schemars, serde};

/// What the user writes.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields)]
#[schemars(crate = "pipeline::schemars")]
pub struct Config {
    /// From reading to reading.
    #[serde(default = "ten_seconds")]
    collection_interval: Duration,
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// Reads `/proc/loadavg`.
pub struct Loadavg(Config, Context);

pipeline::register! { receiver Loadavg }

impl Component for Loadavg {
    const TYPE: &'static str = "loadavg";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Loadavg> {
        let path = context.host_path(Path::new("/proc/loadavg"));
        context.needs(move || vec![Right::Read(path)]);
        Ok(Loadavg(config, context.clone()))
    }
}

#[async_trait]
impl Receiver for Loadavg {
    async fn run(self: Box<Self>, demand: Demand, mut out: Outlet, clock: ReceiverClock) -> Result<()> {
        let Loadavg(config, context) = *self;
        let head = Head::new(context.resource.clone(), context.scope.clone(), "load".into(), "loadavg/load/0".into());
        let all = ["1m", "5m", "15m"].map(|over| {
            let mut series = Series::new("load/average", Arc::new(Attributes::from_iter([("over", over)])));
            (series.kind, series.unit) = (Kind::Gauge, "{thread}".into());
            series
        });
        let wanted: Vec<usize> = (0..3).filter(|row| demand.want(&head, &all[*row]) != Want::Never).collect();
        let table = Table::new(Arc::new(head), wanted.iter().map(|row| all[*row].clone()).collect());
        out.report_startup(if wanted.is_empty() {
            StartupReport::Missing("the load average (nothing downstream wants it)".into())
        } else {
            StartupReport::Sweeps("the load average".into())
        });
        let mut ticks = clock.ticks(config.collection_interval.0, std::time::Duration::ZERO);
        while let Some(number) = ticks.next().await {
            if wanted.is_empty() {
                continue;
            }
            let text = std::fs::read_to_string(context.host_path(Path::new("/proc/loadavg"))).unwrap_or_default();
            let numbers: Vec<Option<f64>> = text.split(' ').map(|word| word.parse().ok()).collect();
            let value = |row: &usize| numbers.get(*row).copied().flatten().map_or(Value::Absent, Value::Double);
            let sweep = Sweep::new(number, config.collection_interval.0, true);
            let batch = Batch::new(table.clone(), wanted.iter().map(|_| 0).collect(), Times::One(now_unix_nano()), wanted.iter().map(value).collect(), sweep);
            if out.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[test]
fn it_keeps_the_contracts() {
    pipeline::testing::assert_contracts::<Loadavg>(include_str!("../README.md"), "collection_interval: 10ms", "");
}
