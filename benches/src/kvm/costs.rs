//! What a value costs beyond the read, and what a sweep costs whatever there is to be read: of two sizes, ten VMs of one vCPU
//! and of ten, the difference is the values', the rest the sweep's own.

use std::io;

use super::owners::Owners;
use super::proofs::{Proofs, Way};
use super::sources::Source;
use crate::measure::{Bench, Pipeline, float};
use crate::report::say;
use crate::trees;

const SOURCES: [Source; 3] = [Source::StatsFd, Source::Bpf, Source::Files];
/// vCPUs of each VM.
const FEW: usize = 1;
const MANY: usize = 10;
const OTLP: Pipeline = Pipeline::Otlp("none");
/// Sweeps of a measurement, and rounds: short and many, since other machines disturb this one for seconds.
const SWEEPS: u64 = if cfg!(debug_assertions) { 5 } else { 50 };
const ROUNDS: usize = if cfg!(debug_assertions) { 1 } else { 15 };

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

/// The median sweep of one size.
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
    let mut costs: Vec<(What, Vec<[Sweep; 2]>)> = Vec::new();
    for _ in 0..ROUNDS {
        let (small, large) = (size(bench, proofs, FEW)?, size(bench, proofs, MANY)?);
        for ((what, small), (_, large)) in small.into_iter().zip(large) {
            match costs.iter_mut().find(|it| it.0 == what) {
                Some((_, all)) => all.push([small, large]),
                None => costs.push((what, vec![[small, large]])),
            }
        }
    }
    show(&costs, &counted(bench)?)
}

/// All of it with VMs of so many vCPUs.
fn size(bench: &Bench, proofs: Option<&Proofs>, vcpus: usize) -> io::Result<Vec<(What, Sweep)>> {
    let owners = Owners::start(vcpus)?;
    let mut all = proven(proofs, &owners)?;
    for source in SOURCES {
        all.extend(sweeps(bench, source, &owners)?);
    }
    Ok(all)
}

/// The system calls of a sweep of the larger size, to OTLP, where they can be counted.
fn counted(bench: &Bench) -> io::Result<Vec<(What, f64)>> {
    let mut all = Vec::new();
    let owners = Owners::start(MANY)?;
    for source in SOURCES.into_iter().filter(|_| bench.perf) {
        let cost = bench.sweeps(&source.reading(), OTLP, SWEEPS, true)?;
        let calls = cost.syscalls.unwrap_or_default();
        all.push((What::Through(source, OTLP), float(calls) / float(SWEEPS)));
    }
    drop(owners);
    Ok(all)
}

/// One size, by C.
fn proven(proofs: Option<&Proofs>, owners: &Owners) -> io::Result<Vec<(What, Sweep)>> {
    let mut all = Vec::new();
    for way in [Way::Kept, Way::Asked, Way::Checked, Way::Pass] {
        let Some(proofs) = proofs.filter(|it| it.has(way)) else {
            continue;
        };
        let ns = proofs.sweep(way, SWEEPS, owners)?;
        all.push((What::Proof(way), sweep(owners.count(way == Way::Pass), ns)));
    }
    Ok(all)
}

/// One size, by a source.
fn sweeps(bench: &Bench, source: Source, owners: &Owners) -> io::Result<Vec<(What, Sweep)>> {
    let mut all = Vec::new();
    let read = if source == Source::Files {
        let cost = bench.floor(&trees::vms()?, SWEEPS)?;
        let ns = u64::try_from(cost.cpu.as_nanos()).unwrap_or(u64::MAX);
        sweep(cost.values / SWEEPS, ns / SWEEPS)
    } else {
        let cost = bench.collector(&source.read_alone(), Pipeline::Null, SWEEPS, false)?;
        sweep(owners.count(source.has_vms()), cost.sweep.readers)
    };
    all.push((What::Read(source), read));
    for pipeline in [Pipeline::Null, Pipeline::Encoded, OTLP] {
        let cost = bench.collector(&source.reading(), pipeline, SWEEPS, false)?;
        let of = |ns| sweep(cost.sweep.values, ns);
        all.push((What::Through(source, pipeline), of(cost.sweep.cpu)));
        if pipeline == Pipeline::Null {
            all.push((What::Sweep(source), of(cost.sweep.readers)));
        }
    }
    Ok(all)
}

fn sweep(values: u64, ns: u64) -> Sweep {
    Sweep {
        values: float(values),
        ns: float(ns),
    }
}

impl Cost {
    /// The median round of one size beside that of the other.
    fn of(all: &[[Sweep; 2]]) -> Cost {
        let median = |size: usize| {
            let mut sweeps: Vec<Sweep> = all.iter().map(|it| it[size]).collect();
            sweeps.sort_by(|a, b| a.ns.total_cmp(&b.ns));
            sweeps[sweeps.len() / 2]
        };
        Cost::between(median(0), median(1))
    }

    fn between(small: Sweep, large: Sweep) -> Cost {
        let value = (large.ns - small.ns) / (large.values - small.values);
        let sweep = (small.ns - value * small.values) / 1e3;
        Cost { value, sweep }
    }
}

fn show(all: &[(What, Vec<[Sweep; 2]>)], counted: &[(What, f64)]) -> io::Result<()> {
    say(
        "| what | CPU ns a value: of the medians (least–most of a round) | beside the read | a sweep's own, µs | syscalls a sweep |",
    )?;
    say("|---|---|---|---|---|")?;
    for (what, costs) in all {
        let Cost { value, sweep: own } = Cost::of(costs);
        let each = costs
            .iter()
            .map(|[few, many]| Cost::between(*few, *many).value);
        let (low, high) = each.fold((f64::MAX, f64::MIN), |(a, b), it| (a.min(it), b.max(it)));
        let beside = beside(*what, value, all);
        let syscalls = counted.iter().find(|it| it.0 == *what);
        let syscalls = syscalls.map_or_else(|| "–".into(), |it| format!("{:.0}", it.1));
        let name = what.name();
        say(&format!(
            "| {name} | {value:.1} ({low:.1}–{high:.1}) | {beside} | {own:.0} | {syscalls} |"
        ))?;
    }
    Ok(())
}

/// What it costs more than the read alone; a read by how many times what it costs in C.
fn beside(what: What, value: f64, all: &[(What, Vec<[Sweep; 2]>)]) -> String {
    let median_of = |what: What| {
        let (_, costs) = all.iter().find(|it| it.0 == what)?;
        Some(Cost::of(costs).value)
    };
    let text = match what {
        What::Sweep(source) | What::Through(source, _) => {
            median_of(What::Read(source)).map(|read| format!("{:.1}", value - read))
        }
        What::Read(source) => {
            let proof = Way::of(source).and_then(|it| median_of(What::Proof(it)));
            proof.map(|proof| format!("{:.2} × C", value / proof))
        }
        What::Proof(_) => None,
    };
    text.unwrap_or_else(|| "–".into())
}

impl What {
    fn name(self) -> String {
        match self {
            What::Proof(way) => way.name().to_owned(),
            What::Read(source) => format!("{}: the read", source.name()),
            What::Sweep(source) => {
                format!("{}: the thread that reads, all values taken", source.name())
            }
            What::Through(source, OTLP) => {
                format!("{}: to OTLP, sent over loopback", source.name())
            }
            What::Through(source, Pipeline::Encoded) => format!("{}: to OTLP", source.name()),
            What::Through(source, _) => format!("{}: metadata, labels, batch", source.name()),
        }
    }
}
