#![doc = include_str!("../README.md")]

mod config;
pub mod metrics;
mod process;
mod rows;
mod sweeper;
mod who;

use pipeline::telemetry::Counter;
use pipeline::{
    Component, Context, Demand, Error, Outlet, Receiver, ReceiverClock, Result, StartupReport,
    async_trait,
};

pub use config::{Config, Level};
use sweeper::Sweeper;

/// Reads what the program counts of itself.
#[derive(Debug)]
pub struct Internal {
    config: Config,
    context: Context,
}

pipeline::register! { receiver Internal }

impl Component for Internal {
    const TYPE: &'static str = "internal";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Internal> {
        if config.collection_interval.0.is_zero() {
            return Err(Error::at("collection_interval", "has to be more than 0s"));
        }
        // What it reads is the program's own, in /proc.
        context.needs(Vec::new);
        Ok(Internal {
            config,
            context: context.clone(),
        })
    }
}

#[async_trait]
impl Receiver for Internal {
    /// At the end it looks once more, to tell of what came last.
    async fn run(
        self: Box<Self>,
        demand: Demand,
        mut out: Outlet,
        clock: ReceiverClock,
    ) -> Result<()> {
        let (config, context) = (self.config, self.context);
        let interval = config.collection_interval.0;
        let mut ticks = clock.ticks(interval, context.initial_delay(config.initial_delay));
        let mut sweeper = Sweeper::new(config, &context, demand);
        out.report_startup(startup(sweeper.series()));
        let mut next = 0;
        loop {
            let number = ticks.next().await;
            if number.is_none() && clock.is_once() {
                return Ok(());
            }
            context.counters.record(Counter::SWEEPS, 1);
            let batches = sweeper.sweep(number.unwrap_or(next), interval);
            if !batches.is_empty() && out.send_together(batches).await.is_err() {
                return Ok(());
            }
            let Some(number) = number else { return Ok(()) };
            next = number + 1;
        }
    }
}

fn startup(series: usize) -> StartupReport {
    if series == 0 {
        return StartupReport::Missing("the program itself (nothing of it is wanted)".into());
    }
    StartupReport::Sweeps(format!("the program itself ({series} series)"))
}
