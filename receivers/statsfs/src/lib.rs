#![doc = include_str!("../README.md")]

mod config;
mod counters;
mod directory_id;
mod discovery;
mod failure_log;
#[cfg(fuzzing)]
pub mod fuzzing;
mod layout;
mod plan;
mod read;
mod receiver;
mod rights;
mod root;
mod rules;
mod sweep;
mod tables;

use std::time::Duration;

use pipeline::config::InitialDelay;
use pipeline::{
    Component, Context, Demand, Error, Inspection, Outlet, Receiver, ReceiverClock, Remark, Result,
    async_trait,
};

pub use config::{Config, Filter, FormatRule, Limits, Priority, Read, ValueFormat};
pub use layout::Layout;

/// Sweeps a tree of small files, one value a file.
#[derive(Debug)]
pub struct Statsfs {
    config: Config,
    context: Context,
}

pipeline::register! { receiver Statsfs }

impl Component for Statsfs {
    const TYPE: &'static str = "statsfs";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Statsfs> {
        for (key, duration) in [
            ("collection_interval", config.collection_interval),
            ("rescan_interval", config.rescan_interval),
            ("timeout", config.timeout),
        ] {
            if duration.0.is_zero() {
                return Err(Error::at(key, "has to be more than 0s"));
            }
        }
        if config.readers == 0 {
            return Err(Error::at("readers", "has to be at least 1"));
        }
        let limits = &config.limits;
        let upper_limits = [
            (config.readers > 64, "readers", "may not be more than 64"),
            (
                config.max_stuck > 1024,
                "max_stuck",
                "may not be more than 1024",
            ),
            (
                limits.depth > 256,
                "limits.depth",
                "may not be more than 256",
            ),
            (
                limits.value_bytes.0 > 1 << 20,
                "limits.value_bytes",
                "may not be more than 1MiB",
            ),
            (
                limits.schema_bytes.0 > 16 << 20,
                "limits.schema_bytes",
                "may not be more than 16MiB",
            ),
        ];
        if let Some((_, key, why)) = upper_limits.into_iter().find(|(is_over, ..)| *is_over) {
            return Err(Error::at(key, why));
        }
        if config.root.is_empty() {
            return Err(Error::at(
                "root",
                "is empty; it is a path, `statsfs:` or `debugfs:kvm`",
            ));
        }
        if config
            .subsystem
            .as_deref()
            .is_some_and(|name| name.is_empty() || name.contains('/'))
        {
            return Err(Error::at("subsystem", "is one name, without `/`"));
        }
        remark_subsystem(&config, context);
        rights::say(&config, context);
        remark_alignment(&config, context);
        Ok(Statsfs {
            config,
            context: context.clone(),
        })
    }
}

/// Remarks how the subsystem is called, or that it is not.
fn remark_subsystem(config: &Config, context: &Context) {
    let root = config.root.clone();
    match (&config.subsystem, only_subsystem(&root)) {
        (Some(name), _) => context.remark(Remark::Subsystem {
            path: "subsystem".into(),
            name: name.clone(),
            root,
        }),
        (None, Some(name)) if config.layout.is_some() => context.remark(Remark::Odd {
            path: "layout".into(),
            message: "`layout` without `subsystem`: each directory in the root is a subsystem of its own, and `layout` is about what is below it".into(),
            help: format!("`subsystem: {name}`, beside `root`, makes the root itself the subsystem"),
        }),
        (None, _) => {}
    }
}

/// Remarks what undoes a random delay.
fn remark_alignment(config: &Config, context: &Context) {
    if config.align && matches!(config.initial_delay, InitialDelay::Random { .. }) {
        context.remark(Remark::Odd {
            path: "align".into(),
            message: "`align` undoes a random `initial_delay`: every host sweeps at whole multiples of the interval".into(),
            help: "one of the two is too many: hosts that sweep at the same time send at the same time".into(),
        });
    }
}

/// The subsystem that a root of the kernel's is: the directories in it are devices.
fn only_subsystem(root: &str) -> Option<&str> {
    let parts: Vec<&str> = root.split('/').filter(|it| !it.is_empty()).collect();
    match parts.as_slice() {
        // Version 1 of control groups has a subsystem for each controller there.
        ["sys", "fs", "cgroup"] => None,
        ["sys", "class" | "fs", name]
        | ["sys", "bus", name, "devices"]
        | ["sys", name @ "block"]
        | ["sys", "kernel", "debug" | "statsfs", name] => Some(name),
        [on] => {
            let below = on.split_once(':').map(|(_, below)| below);
            below.filter(|name| !name.is_empty())
        }
        _ => None,
    }
}

#[async_trait]
impl Receiver for Statsfs {
    async fn run(self: Box<Self>, demand: Demand, out: Outlet, clock: ReceiverClock) -> Result<()> {
        self.start(demand, out, clock, None).await
    }

    async fn inspect(
        self: Box<Self>,
        demand: Demand,
        out: Outlet,
        clock: ReceiverClock,
        inspection: Inspection,
    ) -> Result<()> {
        self.start(demand, out, clock, Some(inspection)).await
    }
}

impl Statsfs {
    async fn start(
        self,
        demand: Demand,
        out: Outlet,
        clock: ReceiverClock,
        inspection: Option<Inspection>,
    ) -> Result<()> {
        let (config, context) = (self.config, self.context);
        let interval = config.collection_interval.0;
        let delay = match &inspection {
            // It is looked at now.
            Some(_) => Duration::ZERO,
            None => context.initial_delay(config.initial_delay),
        };
        let ticks = if config.align && inspection.is_none() {
            clock.aligned_ticks(interval, delay)
        } else {
            clock.ticks(interval, delay)
        };
        let once = clock.is_once();
        let mut task = receiver::StatsfsTask::new(config, context, demand, once, inspection);
        task.run(ticks, out, clock.shutdown).await
    }
}
