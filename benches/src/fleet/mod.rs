//! What a gateway of one core carries: `fleet [AGENTS] [SECONDS]`. One real Collector on a CPU of its own, and on the others so
//! many agents, each with a connection and a resource of its own, that send what this program sends of a host.

mod agents;
mod gateway;
mod host;
mod peer;
mod sums;

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::Runtime;

use crate::measure::{Bench, float};
use crate::otelcol;
use crate::report::{lacks, mib, say};
use agents::{Fleet, Outcome, Pace};
use gateway::{Gateway, Kind};
use peer::Peer;
use sums::{Figures, sums};

/// Requests under way at a time, where it goes as fast as it can.
const UNDER_WAY: usize = 32;
/// Sweeps of each agent, where each keeps its interval.
const SWEEPS: u32 = 3;
/// The intervals of the sums, seconds.
const INTERVALS: [f64; 3] = [10.0, 30.0, 60.0];

/// What all rows of the table share.
struct Setup<'a> {
    directory: &'a Path,
    runtime: Runtime,
    peer: Peer,
    host: host::Host,
    agents: usize,
    /// How long a row takes.
    time: Duration,
    /// The CPU of the gateway, and those of all else.
    own: CpuSet,
    others: CpuSet,
}

pub(crate) fn fleet(directory: &Path, agents: usize, seconds: u64) -> io::Result<()> {
    if let Err(error) = otelcol::program() {
        return lacks("the Collector", &error.to_string());
    }
    let Some((own, others)) = cpus()? else {
        return lacks("the fleet", "it takes two CPUs: one is the gateway's");
    };
    let load = std::fs::read_to_string("/proc/loadavg")?;
    // Before any thread is made: they inherit it.
    sched_setaffinity(None, &others)?;
    raise_descriptors()?;
    let bench = Bench::new(directory, None)?;
    let runtime = Runtime::new()?;
    let peer = Peer::start(&runtime)?;
    let host = host::host(&bench, &peer)?;
    let setup = Setup {
        directory,
        runtime,
        peer,
        host,
        agents,
        time: Duration::from_secs(seconds),
        own,
        others,
    };
    say(&format!(
        "{agents} agents of {} series; a request has {} bytes, {} by zstd. Load before this run: {}",
        setup.host.points,
        setup.host.request.len(),
        setup.host.compressed,
        load.split(' ').next().unwrap_or_default()
    ))?;
    let mut figures = setup.connections()?;
    say("")?;
    say(
        "| the gateway | the agents send | points/s | of its core | points a second of CPU | MB/s, by zstd | memory, MiB | ms to the answer: half | 99 of 100 | all | not taken |",
    )?;
    say("|---|---|---|---|---|---|---|---|---|---|---|")?;
    let interval = setup.time / SWEEPS;
    let each = format!("each {} s, ", interval.as_secs_f64());
    for kind in [Kind::Nowhere, Kind::Onward] {
        let (points, memory) =
            setup.row(kind, "as fast as it takes it", Pace::Greedy(UNDER_WAY))?;
        figures.points_a_second = points;
        figures.traffic = memory - figures.idle - figures.connection * setup.agents();
    }
    for (how, is_spread) in [("spread by a random delay", true), ("all at once", false)] {
        let pace = Pace::Every {
            interval,
            sweeps: SWEEPS,
            is_spread,
        };
        setup.row(Kind::Onward, &format!("{each}{how}"), pace)?;
    }
    say("")?;
    sums(&figures, &INTERVALS)
}

impl Setup<'_> {
    fn gateway(&self, kind: Kind) -> io::Result<Gateway> {
        sched_setaffinity(None, &self.own)?;
        let gateway = Gateway::start(self.directory, kind, self.peer.address);
        sched_setaffinity(None, &self.others)?;
        gateway
    }

    fn fleet(&self, gateway: &Gateway) -> io::Result<Fleet> {
        let connect = Fleet::connect(gateway.port, self.agents, &self.host);
        self.runtime.block_on(connect)
    }

    fn agents(&self) -> f64 {
        float(self.agents as u64)
    }

    /// What connections cost that nothing is sent on.
    fn connections(&self) -> io::Result<Figures> {
        let gateway = self.gateway(Kind::Nowhere)?;
        let before = mib(gateway.process.memory()?.resident);
        let _fleet = self.fleet(&gateway)?;
        let after = mib(gateway.process.memory()?.resident);
        say(&format!(
            "A gateway without traffic: {before:.0} MiB; with {} connections: {after:.0} MiB",
            self.agents
        ))?;
        Ok(Figures {
            points: float(self.host.points),
            bytes: float(self.host.compressed as u64),
            idle: before,
            connection: (after - before).max(0.0) / self.agents(),
            ..Figures::default()
        })
    }

    /// Measures and says one row. Points that a second of CPU carries, and the most memory, MiB.
    fn row(&self, kind: Kind, how: &str, pace: Pace) -> io::Result<(f64, f64)> {
        let gateway = self.gateway(kind)?;
        let fleet = self.fleet(&gateway)?;
        // Its heap is as large as it gets only after some requests.
        let warm_up = fleet.send(Pace::Greedy(UNDER_WAY), self.time / 10);
        self.runtime.block_on(warm_up);
        let before = gateway.process.cpu()?;
        let outcome: Outcome = self.runtime.block_on(fleet.send(pace, self.time));
        let cpu = (gateway.process.cpu()? - before) / 1e9;
        let memory = mib(gateway.process.memory()?.peak);
        let seconds = outcome.time.as_secs_f64();
        let requests = float(outcome.answers.len() as u64);
        let points = requests * float(self.host.points);
        let millis = |permille| outcome.answer_at(permille).as_secs_f64() * 1e3;
        say(&format!(
            "| {} | {how} | {:.0} | {:.0} % | {:.0} | {:.1} | {memory:.0} | {:.0} | {:.0} | {:.0} | {} |",
            kind.name(),
            points / seconds,
            cpu / seconds * 100.0,
            points / cpu,
            requests * float(self.host.compressed as u64) / seconds / 1e6,
            millis(500),
            millis(990),
            millis(1000),
            outcome.refusals(),
        ))?;
        Ok((points / cpu, memory))
    }
}

/// The last CPU that this process may use, and the others; none where it has only one.
fn cpus() -> io::Result<Option<(CpuSet, CpuSet)>> {
    let mut others = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|it| others.is_set(*it));
    let Some(last) = last.filter(|_| others.count() > 1) else {
        return Ok(None);
    };
    let mut own = CpuSet::new();
    own.set(last);
    others.unset(last);
    Ok(Some((own, others)))
}

/// A connection is a descriptor, here and in the Collector.
fn raise_descriptors() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    Ok(())
}
