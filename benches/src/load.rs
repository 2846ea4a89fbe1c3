//! A receiver that makes points as fast as they are taken: what is behind it is measured, and no file is read.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use pipeline::{
    Attributes, Batch, Component, Context, Demand, Head, Kind, Metric, Outlet, Receiver,
    ReceiverClock, Result, Scope, Series, Sweep, Table, Times, Value, async_trait, now_unix_nano,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Metrics of each device.
const METRICS: usize = 100;

/// The configuration of `load`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Points of a sweep, which is a request.
    points: usize,
    /// How many sweeps there are.
    sweeps: u64,
    /// The time between two sweeps; without it, as fast as they are taken.
    #[serde(default)]
    interval_ms: Option<NonZeroU64>,
}

/// Sends so many sweeps of one table, and ends.
#[derive(Debug)]
pub(crate) struct Load(Config);

pipeline::register! { receiver Load }

impl Component for Load {
    const TYPE: &'static str = "load";
    type Config = Config;

    fn build(config: Config, _: &Context) -> Result<Load> {
        Ok(Load(config))
    }
}

#[async_trait]
impl Receiver for Load {
    async fn run(self: Box<Self>, _: Demand, mut out: Outlet, _: ReceiverClock) -> Result<()> {
        let (table, starts) = (table(self.0.points), starts(self.0.points));
        let mut ticks = self
            .0
            .interval_ms
            .map(|it| tokio::time::interval(Duration::from_millis(it.get())));
        for number in 0..self.0.sweeps {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            if out.send(sweep(&table, &starts, number)).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Counters of many devices, with what a real one has of labels.
pub(crate) fn table(points: usize) -> Arc<Table> {
    let metrics: Vec<_> = (0..METRICS).map(|it| Arc::new(metric(it))).collect();
    let series = (0..points).map(|row| {
        let device = row / METRICS;
        let labels = [
            ("device", format!("/vm-{device:06}/vcpu0")),
            ("vm", format!("vm-{device:06}")),
            ("level", "vcpu".to_owned()),
        ];
        (device, Attributes::from_iter(labels), row % METRICS)
    });
    let mut last: Option<(usize, Arc<Attributes>)> = None;
    let series = series.map(|(device, labels, metric)| {
        let shared = match &last {
            Some((of, shared)) if *of == device => Arc::clone(shared),
            _ => Arc::new(labels),
        };
        last = Some((device, Arc::clone(&shared)));
        Series::of(Arc::clone(&metrics[metric]), shared)
    });
    let series = series.collect();
    let scope = Arc::new(Scope::new("load", "0"));
    let resource = Attributes::from_iter([("host.name", "node-1")]);
    let head = Head::new(Arc::new(resource), scope, "kvm".into(), "load/kvm/0".into());
    Table::new(Arc::new(head), series)
}

fn metric(number: usize) -> Metric {
    let mut metric = Metric::default();
    metric.name = format!("kvm/metric_{number}").into();
    metric.unit = "{exit}".into();
    metric.kind = Kind::COUNTER;
    metric
}

/// Since when they count: the same at each sweep, as a receiver keeps it.
pub(crate) fn starts(points: usize) -> Arc<[u64]> {
    vec![1; points].into()
}

/// What the table shows at this sweep: counters that grow by some thousands, those of a device with one time, as `statsfs`
/// tells a directory's files, 100 microseconds after the device before.
pub(crate) fn sweep(table: &Arc<Table>, starts: &Arc<[u64]>, number: u64) -> Batch {
    let rows = 0..table.len() as u64;
    let value = |row: u64| Value::Int((row * 12_345 + number * (row % 5_000)).cast_signed());
    let now = now_unix_nano();
    Batch::new(
        Arc::clone(table),
        Arc::clone(starts),
        Times::Each(
            rows.clone()
                .map(|row| now + row / METRICS as u64 * 100_000)
                .collect(),
        ),
        rows.map(value).collect(),
        Sweep::new(number, Duration::from_secs(1), true),
    )
}
