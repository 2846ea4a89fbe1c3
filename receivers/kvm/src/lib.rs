#![doc = include_str!("../README.md")]

mod blocks;
#[cfg(feature = "bpf")]
mod bpf;
#[cfg(feature = "bpf")]
mod bpf_types;
#[cfg(feature = "bpf")]
mod bpf_values;
#[cfg(feature = "bpf")]
mod bpf_vms;
mod choice;
mod columns;
mod config;
mod counters;
mod debugfs;
#[cfg(any(test, fuzzing))]
#[allow(clippy::missing_panics_doc)] // its functions are assertions
pub mod fuzzing;
mod gaps;
mod histograms;
mod host;
mod identity;
mod inspected;
mod join;
mod kvm_file;
mod labels;
mod layout;
mod part;
mod problems;
mod processes;
mod procfs;
mod receiver;
mod series;
mod statistic;
mod sweeper;
mod tables;
mod taking;
mod uevents;
mod units;
mod vm;
mod vms;

use std::time::Duration;

use pipeline::{
    Component, Context, Demand, Error, Inspection, Outlet, Receiver, ReceiverClock, Result, Right,
    async_trait,
};

use inspected::Purpose;

pub use config::{Config, IdentityPart, Level, Limits, SourceName};

/// Reads the statistics of all virtual machines of a KVM host.
#[derive(Debug)]
pub struct Kvm {
    config: Config,
    context: Context,
}

pipeline::register! { receiver Kvm }

impl Component for Kvm {
    const TYPE: &'static str = "kvm";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Kvm> {
        for (key, duration) in [
            ("collection_interval", config.collection_interval),
            ("rescan_interval", config.rescan_interval),
        ] {
            if duration.0.is_zero() {
                return Err(Error::at(key, "has to be more than 0s"));
            }
        }
        for (key, is_empty) in [
            ("sources", config.sources.is_empty()),
            ("levels", config.levels.is_empty()),
            ("identity", config.identity.is_empty()),
        ] {
            if is_empty {
                return Err(Error::at(key, "has to name at least one"));
            }
        }
        let (sources, own) = (config.sources.clone(), context.clone());
        context.needs(move || rights(&sources, &own));
        Ok(Kvm {
            config,
            context: context.clone(),
        })
    }
}

/// What it needs of the system. VMs are found, and told apart, by their processes, whatever is read of them.
fn rights(sources: &[SourceName], context: &Context) -> Vec<Right> {
    let mut rights = vec![
        Right::OtherProcesses,
        Right::Read(context.host_path("/proc".as_ref())),
    ];
    for source in sources {
        match source {
            SourceName::StatsFd => rights.push(Right::OthersDescriptors),
            #[cfg(feature = "bpf")]
            SourceName::Bpf => rights.extend([
                Right::Bpf,
                Right::Read("/sys/kernel/btf".into()),
                Right::Read("/sys/kernel/security".into()),
                Right::Device("/dev/kvm".into()),
            ]),
            SourceName::Debugfs => rights.push(Right::ReadTree(debugfs::Debugfs::path(context))),
        }
    }
    rights
}

#[async_trait]
impl Receiver for Kvm {
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

impl Kvm {
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
        let ticks = clock.ticks(interval, delay);
        let counters = context.counters.clone();
        let purpose = Purpose::of(inspection.as_ref());
        let make = move || sweeper::Sweeper::new(config, context, demand, purpose);
        let task = receiver::KvmTask::start(make, interval, counters, inspection)?;
        task.run(ticks, out, clock.shutdown).await
    }
}
