//! How much each shows of ten VMs of ten vCPUs at rest, how much of that is true, and what it costs.

use std::io;

use super::owners::Owners;
use super::peers::Peer;
use super::sources::{ROUNDS, SWEEPS, Source};
use super::truth::{Truth, Values, compare as compare_values, of_host, of_otlp, with_sums};
use crate::measure::{Bench, Pipeline, float};
use crate::report::{lacks, say};

const SOURCES: [Source; 4] = [Source::StatsFd, Source::Bpf, Source::All, Source::Files];

/// CPU ns a value, and system calls.
type Cost = (f64, Option<f64>);

/// Measures all, side by side, and shows it.
pub(super) fn compare(bench: &Bench) -> io::Result<()> {
    let owners = Owners::start(10)?;
    let peers = peers(bench)?;
    let mut shown = Vec::new();
    for peer in &peers {
        shown.push(peer.shown(bench)?);
    }
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); SOURCES.len() + peers.len()];
    for _ in 0..ROUNDS {
        for (source, costs) in SOURCES.iter().zip(&mut costs) {
            costs.push(cost(bench, *source)?);
        }
        for ((peer, shown), costs) in peers.iter().zip(&shown).zip(&mut costs[SOURCES.len()..]) {
            costs.push(peer.cost(bench, shown.len())?);
        }
    }
    let statistics = of_host(&owners.values).len();
    head(statistics, &format!("ten VMs of {} vCPUs", owners.vcpus))?;
    let expected = with_sums(&owners.values);
    for (source, costs) in SOURCES.iter().zip(&costs) {
        let shown = of_otlp(&bench.once(&source.reading().shown())?);
        let name = format!("{}: to OTLP", source.name());
        line(&name, compare_values(&shown, &expected), costs)?;
    }
    let expected: Values = of_host(&owners.values);
    for ((peer, shown), costs) in peers.iter().zip(&shown).zip(&costs[SOURCES.len()..]) {
        let name = format!("{}: sums over the host", peer.name());
        line(&name, compare_values(shown, &expected), costs)?;
    }
    Ok(())
}

/// Those that are there; the others are named.
fn peers(bench: &Bench) -> io::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    match Peer::kvm_stat(bench) {
        Ok((peer, failure)) => {
            if let Some(failure) = failure {
                say(&format!("\nkvm_stat as shipped fails: {failure}"))?;
            }
            peers.push(peer);
        }
        Err(error) => lacks("\nkvm_stat", &error.to_string())?,
    }
    match Peer::pmda() {
        Ok(peer) => peers.push(peer),
        Err(error) => lacks("\nPCP's agent", &error.to_string())?,
    }
    Ok(peers)
}

/// What a source costs, all of the program, all of a sweep.
pub(super) fn cost(bench: &Bench, source: Source) -> io::Result<Cost> {
    let otlp = Pipeline::Otlp("none");
    let cost = bench.sweeps(&source.reading(), otlp, SWEEPS, false)?;
    if !bench.perf {
        return Ok((cost.ns(), None));
    }
    let counted = bench.sweeps(&source.reading(), otlp, SWEEPS, true)?;
    let each = |count: u64| float(count) / counted.per_value();
    Ok((cost.ns(), counted.syscalls.map(each)))
}

pub(super) fn head(statistics: usize, of: &str) -> io::Result<()> {
    say("")?;
    say(&format!(
        "| {of}, at rest | values | of {statistics} statistics | true | not 0, and shown so | beside them | CPU ns a value: median (least–most) | syscalls a value |"
    ))?;
    say("|---|---|---|---|---|---|---|---|")
}

pub(super) fn line(name: &str, truth: Truth, costs: &[Cost]) -> io::Result<()> {
    let mut all: Vec<f64> = costs.iter().map(|it| it.0).collect();
    all.sort_by(f64::total_cmp);
    let cpu = match &all[..] {
        [] => "–".to_owned(),
        [low, .., high] => format!("{:.0} ({low:.0}–{high:.0})", all[all.len() / 2]),
        [one] => format!("{one:.0}"),
    };
    let syscalls = costs.iter().find_map(|it| it.1);
    let syscalls = syscalls.map_or_else(|| "–".into(), |it| format!("{it:.3}"));
    let Truth {
        shown,
        others,
        statistics,
        r#true,
        not_zero,
        not_zero_true,
    } = truth;
    say(&format!(
        "| {name} | {shown} | {statistics} | {true} | {not_zero_true} of {not_zero} | {others} | {cpu} | {syscalls} |"
    ))
}
