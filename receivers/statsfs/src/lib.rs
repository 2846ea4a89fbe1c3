#![doc = include_str!("../README.md")]

mod complaints;
mod config;
#[cfg(fuzzing)]
pub mod fuzzing;
mod layout;
mod name;
mod plan;
mod read;
mod root;
mod schema;
mod sweep;
mod tables;
mod tree;
mod value;
mod watch;

use pipeline::{
    Batch, Component, Context, Demand, Error, Found, Outlet, Receiver, Result, Until, async_trait,
};
use tokio::sync::mpsc;

pub use config::{Config, Filter, Format, FormatRule, Limits};
pub use layout::Layout;
use plan::Plan;
use sweep::Sweeper;

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
        for (key, zero) in [
            ("collection_interval", config.collection_interval),
            ("rescan_interval", config.rescan_interval),
            ("timeout", config.timeout),
        ] {
            if zero.0.is_zero() {
                return Err(Error::at(key, "has to be more than 0s"));
            }
        }
        let limits = &config.limits;
        let too_much = [
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
        if let Some((_, key, why)) = too_much.into_iter().find(|(wrong, ..)| *wrong) {
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
        Ok(Statsfs {
            config,
            context: context.clone(),
        })
    }
}

enum Event {
    Read(Batch),
    Swept(Found),
}

#[async_trait]
impl Receiver for Statsfs {
    async fn run(self: Box<Self>, demand: Demand, mut out: Outlet, until: Until) -> Result<()> {
        let mut ticks = until.ticks(
            self.config.collection_interval.0,
            self.config.initial_delay.0,
        );
        let (start, started) = std::sync::mpsc::channel::<u64>();
        let (tell, mut hear) = mpsc::channel(4);
        let (root, rescan_interval) = (self.config.root.clone(), self.config.rescan_interval.0);
        let mut sweeper = Sweeper::new(
            root,
            Plan::new(self.config),
            rescan_interval,
            demand,
            self.context,
        );
        // Reads can block for ever in the kernel: never on the runtime's own threads.
        let reader = std::thread::Builder::new()
            .name("statsfs".into())
            .spawn(move || {
                for number in started {
                    let listening = sweeper.sweep(number, |batch| {
                        tell.blocking_send(Event::Read(batch)).is_ok()
                    });
                    if !listening || tell.blocking_send(Event::Swept(sweeper.found())).is_err() {
                        return;
                    }
                }
            });
        drop(reader.map_err(Error::new)?);
        let mut told = false;
        while let Some(number) = ticks.next().await {
            start.send(number).map_err(Error::new)?;
            loop {
                match hear.recv().await {
                    Some(Event::Read(batch)) => {
                        if out.send(batch).await.is_err() {
                            return Ok(());
                        }
                    }
                    Some(Event::Swept(found)) => {
                        if !std::mem::replace(&mut told, true) {
                            out.found(found);
                        }
                        break;
                    }
                    None => return Err(Error::new("the reading thread has broken down")),
                }
            }
        }
        Ok(())
    }
}
