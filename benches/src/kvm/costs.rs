//! What a value costs beyond the read, and what a sweep costs whatever there is to be read: of two sizes, ten VMs of one vCPU
//! and of ten, the difference is the values', the rest the sweep's own.

use std::io;

use super::owners::Owners;
use super::proofs::{Proofs, Way};
use super::sources::{ROUNDS, SWEEPS, Source};
use crate::measure::{Bench, Pipeline};
use crate::report::say;

const SIZES: [usize; 2] = [1, 10];
const OTLP: Pipeline = Pipeline::Otlp("none");

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Proof(Way),
    /// The thread that reads, with one value of each block taken.
    Read(Source),
    /// The thread that reads.
    Sweep(Source),
    /// All of the program.
    Through(Source, Pipeline),
}

/// A sweep of one size.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    values: f64,
    ns: f64,
}

/// What a value costs, ns, and a sweep beside its values, µs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    value: f64,
    sweep: f64,
}

/// Measures all, side by side, and shows it.
pub(super) fn compare(bench: &Bench, proofs: Option<&Proofs>) -> io::Result<()> {
    let sources = [Source::StatsFd, Source::Bpf, Source::Files];
    let whats = whats(&sources, proofs);
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); whats.len()];
    for _ in 0..ROUNDS {
        let mut sizes = Vec::new();
        for vcpus in SIZES {
            let owners = Owners::start(vcpus)?;
            let sweeps = sources.iter().map(|it| sweeps(bench, *it, &owners));
            let sweeps: Vec<(What, Sweep)> = sweeps
                .collect::<io::Result<Vec<_>>>()?
                .into_iter()
                .flatten()
                .chain(proven(proofs, &owners)?)
                .collect();
            sizes.push(sweeps);
        }
        for (what, costs) in whats.iter().zip(&mut costs) {
            let of =
                |size: &Vec<(What, Sweep)>| size.iter().find(|it| it.0 == *what).map(|it| it.1);
            costs.extend(of(&sizes[0]).zip(of(&sizes[1])).map(Cost::between));
        }
    }
    show(&whats, &costs, &counted(bench, &sources)?)
}

/// The system calls of a sweep of the larger size, to OTLP, where they can be counted.
fn counted(bench: &Bench, sources: &[Source]) -> io::Result<Vec<(What, f64)>> {
    let mut all = Vec::new();
    let owners = Owners::start(SIZES[1])?;
    for source in sources.iter().filter(|_| bench.perf) {
        let cost = bench.sweeps(&source.reading(), OTLP, SWEEPS, true)?;
        let calls = cost.syscalls.unwrap_or_default();
        #[allow(clippy::cast_precision_loss)]
        all.push((What::Through(*source, OTLP), calls as f64 / SWEEPS as f64));
    }
    drop(owners);
    Ok(all)
}

fn whats(sources: &[Source], proofs: Option<&Proofs>) -> Vec<What> {
    let ways = [Way::Kept, Way::Checked, Way::Pass].into_iter();
    let ways = ways.filter(|way| proofs.is_some_and(|it| it.has(*way)));
    let of = |source: &Source| {
        let all = [
            What::Read(*source),
            What::Sweep(*source),
            What::Through(*source, Pipeline::Null),
            What::Through(*source, OTLP),
        ];
        all.into_iter()
            .filter(|it| *it != What::Read(Source::Files))
    };
    ways.map(What::Proof)
        .chain(sources.iter().flat_map(of))
        .collect()
}

/// One size, by C.
fn proven(proofs: Option<&Proofs>, owners: &Owners) -> io::Result<Vec<(What, Sweep)>> {
    let mut all = Vec::new();
    for way in [Way::Kept, Way::Checked, Way::Pass] {
        let Some(proofs) = proofs.filter(|it| it.has(way)) else {
            continue;
        };
        let cpu = proofs.cpu(way, SWEEPS, owners)?;
        all.push((What::Proof(way), sweep(owners.count(way == Way::Pass), cpu)));
    }
    Ok(all)
}

/// One size, by a source.
fn sweeps(bench: &Bench, source: Source, owners: &Owners) -> io::Result<Vec<(What, Sweep)>> {
    let mut all = Vec::new();
    for pipeline in [Pipeline::Null, OTLP] {
        let cost = bench.sweeps(&source.reading(), pipeline, SWEEPS, false)?;
        let values = usize::try_from(cost.values / SWEEPS).unwrap_or_default();
        let of = |cpu: std::time::Duration| sweep(values, nanos(cpu));
        all.push((What::Through(source, pipeline), of(cost.cpu)));
        if pipeline == Pipeline::Null {
            all.push((What::Sweep(source), of(cost.readers)));
        }
    }
    if source != Source::Files {
        let cost = bench.sweeps(&source.read_alone(), Pipeline::Null, SWEEPS, false)?;
        let values = owners.count(source.has_vms());
        all.push((What::Read(source), sweep(values, nanos(cost.readers))));
    }
    Ok(all)
}

fn nanos(cpu: std::time::Duration) -> u64 {
    u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss)]
fn sweep(values: usize, cpu: u64) -> Sweep {
    Sweep {
        values: values as f64,
        ns: cpu as f64 / SWEEPS as f64,
    }
}

impl Cost {
    fn between((small, large): (Sweep, Sweep)) -> Cost {
        let value = (large.ns - small.ns) / (large.values - small.values);
        let sweep = (small.ns - value * small.values) / 1e3;
        Cost { value, sweep }
    }
}

fn show(whats: &[What], costs: &[Vec<Cost>], counted: &[(What, f64)]) -> io::Result<()> {
    say(
        "| what | CPU ns a value: median (least–most) | beside the read | a sweep's own, µs | syscalls a sweep |",
    )?;
    say("|---|---|---|---|---|")?;
    let median_of = |what: What| {
        let at = whats.iter().position(|it| *it == what)?;
        costs
            .get(at)
            .filter(|it| !it.is_empty())
            .map(|it| median(it, |it| it.value))
    };
    for (what, costs) in whats.iter().zip(costs).filter(|it| !it.1.is_empty()) {
        let value = median(costs, |it| it.value);
        let all = costs.iter().map(|it| it.value);
        let (low, high) = all.fold((f64::MAX, f64::MIN), |(a, b), it| (a.min(it), b.max(it)));
        let beside = match what {
            What::Through(source, _) => {
                let read = median_of(What::Read(*source));
                read.map(|read| format!("{:.1}", value - read))
            }
            What::Read(source) => {
                let proof = Way::of(*source).and_then(|it| median_of(What::Proof(it)));
                proof.map(|proof| format!("{:.2} × C", value / proof))
            }
            What::Proof(_) | What::Sweep(_) => None,
        };
        let beside = beside.unwrap_or_else(|| "–".into());
        let own = median(costs, |it| it.sweep);
        let syscalls = counted.iter().find(|it| it.0 == *what);
        let syscalls = syscalls.map_or_else(|| "–".into(), |it| format!("{:.0}", it.1));
        let name = what.name();
        say(&format!(
            "| {name} | {value:.1} ({low:.1}–{high:.1}) | {beside} | {own:.0} | {syscalls} |"
        ))?;
    }
    Ok(())
}

impl What {
    fn name(self) -> String {
        match self {
            What::Proof(way) => way.name().to_owned(),
            What::Read(source) => format!("{}: the read", source.name()),
            What::Sweep(source) => {
                format!("{}: the thread that reads, all values taken", source.name())
            }
            What::Through(source, OTLP) => format!("{}: to OTLP", source.name()),
            What::Through(source, _) => format!("{}: metadata, labels, batch", source.name()),
        }
    }
}

fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let mut all: Vec<f64> = costs.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
