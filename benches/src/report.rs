//! What was measured, as tables: medians of interleaved rounds, and their spread.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::measure::{Bench, Cost, Pipeline, float};
use crate::served::{Served, free_port};
use crate::trees::Tree;

/// Rounds, one measurement of each kind a round: what the machine does besides hits all alike.
const ROUNDS: usize = 5;

/// Values a measurement, about.
const VALUES: u64 = 400_000;

const KINDS: [(&str, Pipeline); 4] = [
    ("sweep", Pipeline::Sweep),
    ("metadata, labels, batch", Pipeline::Null),
    ("the same, otlp", Pipeline::Otlp("none")),
    ("the same, otlp gzip", Pipeline::Otlp("gzip")),
];

pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// That something cannot be measured here.
pub(crate) fn lacks(what: &str, why: &str) -> io::Result<()> {
    say(&format!("{what}: left out: {why}"))
}

pub(crate) fn head(bench: &Bench) -> io::Result<()> {
    if !bench.perf {
        lacks("syscalls", "perf is not there, or may not count them")?;
    }
    say(
        "| tree | what | CPU ns a value: median (least–most) | × floor | syscalls | allocations | bytes allocated |",
    )?;
    say("|---|---|---|---|---|---|---|")
}

/// One tree: the floor, each part of the pipeline, the demo agent.
pub(crate) fn costs(bench: &Bench, tree: &Tree) -> io::Result<()> {
    let once = bench.floor(tree, 1)?.values.max(1);
    let sweeps = (VALUES / once).clamp(4, 400);
    let name = format!("{}: {once} values", tree.name);
    let (mut floor, mut demo) = (Vec::new(), Vec::new());
    let mut kinds: Vec<Vec<Cost>> = KINDS.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        floor.push(bench.floor(tree, sweeps)?);
        for ((_, pipeline), costs) in KINDS.iter().zip(&mut kinds) {
            costs.push(bench.sweeps(&tree.reading(), *pipeline, sweeps, false)?);
        }
        demo.extend(bench.demo(tree, sweeps.min(20))?);
    }
    let least = median(&floor);
    let line = |what: &str, costs: &[Cost], more: &str| {
        let (low, high) = min_to_max(costs);
        let ns = median(costs);
        let ratio = ns / least;
        say(&format!(
            "| {name} | {what} | {ns:.0} ({low:.0}–{high:.0}) | {ratio:.2} | {more} |"
        ))
    };
    line("bare reads", &floor, "– | – | –")?;
    for ((what, pipeline), costs) in KINDS.iter().zip(&kinds) {
        let syscalls = if bench.perf {
            let cost = bench.sweeps(&tree.reading(), *pipeline, sweeps.min(40), true)?;
            let each = float(cost.syscalls.unwrap_or_default()) / cost.per_value();
            format!("{each:.3}")
        } else {
            "–".into()
        };
        let each = |of: fn(&Cost) -> u64| {
            let cost = costs[0];
            float(of(&cost)) / cost.per_value()
        };
        let (allocations, bytes) = (each(|it| it.allocations), each(|it| it.bytes));
        line(
            what,
            costs,
            &format!("{syscalls} | {allocations:.4} | {bytes:.0}"),
        )?;
    }
    if !demo.is_empty() {
        line("demo agent", &demo, "– | – | –")?;
    }
    Ok(())
}

/// How large the program is that a user gets, and what it takes of memory with the embedded default.
pub(crate) fn sizes() -> io::Result<()> {
    let binary = std::env::current_exe()?.with_file_name("statsfs-collector");
    let Ok(size) = fs::metadata(&binary) else {
        return lacks("\nthe program", "`cargo build --profile dist` makes it");
    };
    say(&format!(
        "\nthe program, stripped: {:.1} MiB",
        mib(size.len())
    ))?;
    let mut program = Command::new(&binary);
    program.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut program = program.spawn()?;
    let mut first = String::new();
    // What it shows of its first sweep has gone through all of it.
    let stdout = program
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no pipe"))?;
    BufReader::new(stdout).read_line(&mut first)?;
    let status = fs::read_to_string(format!("/proc/{}/status", program.id()))?;
    program.kill()?;
    program.wait()?;
    let memory = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        mib(number.unwrap_or_default() * 1024)
    };
    say(&format!(
        "its memory with the embedded default, on this kernel: {:.1} MiB, {:.1} of them files",
        memory("VmRSS:"),
        memory("RssFile:")
    ))?;
    scraped(&binary)
}

/// Its memory when it is scraped, probed, and tells of itself.
fn scraped(binary: &Path) -> io::Result<()> {
    let (metrics, health, own) = (free_port()?, free_port()?, free_port()?);
    let mut program = Command::new(binary);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/prometheus.yaml");
    program.args(["--config", file]).stderr(Stdio::null());
    let reader =
        format!("{{pull: {{exporter: {{prometheus: {{host: localhost, port: {own}}}}}}}}}");
    for set in [
        format!("exporters.prometheus.endpoint=127.0.0.1:{metrics}"),
        format!("extensions.health_check.endpoint=127.0.0.1:{health}"),
        format!("service.telemetry.metrics.readers=[{reader}]"),
    ] {
        program.args(["--set", &set]);
    }
    let served = Served::start("statsfs-collector", program, metrics)?;
    served.wait_for(20)?;
    for _ in 0..20 {
        served.scrape("Accept-Encoding: gzip\r\n")?;
    }
    let memory = served.memory()?;
    say(&format!(
        "with configs/prometheus.yaml (exporter, health, own telemetry), after twenty scrapes: {:.1} MiB, {:.1} of them its own, the rest files",
        mib(memory.resident),
        mib(memory.anonymous)
    ))
}

pub(crate) fn growth_head() -> io::Result<()> {
    say(
        "| tree | CPU ns a value: median (least–most) | × bare reads | bytes of memory a series beyond 15 MiB | resident | start to first export |",
    )?;
    say("|---|---|---|---|---|---|")
}

/// One size: cost a value, memory a series, start to the first export; through the whole pipeline to OTLP.
pub(crate) fn growth(bench: &Bench, tree: &Tree) -> io::Result<()> {
    let once = bench.floor(tree, 1)?.values.max(1);
    let sweeps = (VALUES / once).max(3);
    let (mut floor, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS.min(3) {
        floor.push(bench.floor(tree, sweeps)?);
        costs.push(bench.sweeps(&tree.reading(), Pipeline::Otlp("none"), sweeps, false)?);
    }
    let last = costs[0];
    let (low, high) = min_to_max(&costs);
    let (resident, base) = (last.memory * 1024, 15 << 20);
    let series = resident.saturating_sub(base) / once;
    say(&format!(
        "| {}, {} subsystems | {:.0} ({low:.0}–{high:.0}) | {:.2} | {series} | {:.1} MiB, {:.1} of them files | {:.2} s |",
        tree.name,
        tree.subsystems,
        median(&costs),
        median(&costs) / median(&floor),
        mib(resident),
        mib(last.file_memory * 1024),
        last.first.as_secs_f64()
    ))
}

/// The quiet figure beside that of a tree of which 1 % of the devices come and go at each sweep.
pub(crate) fn churn(
    bench: &Bench,
    tree: &Tree,
    place: &Path,
    pipeline: Pipeline,
) -> io::Result<()> {
    const SWEEPS: u64 = 40;
    let (mut quiet, mut busy, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    let interval = Duration::from_millis(200);
    let run = || {
        let reading = tree.reading_each(200);
        bench.sweeps(&reading, pipeline, SWEEPS, false)
    };
    for _ in 0..ROUNDS {
        floor.push(bench.floor(tree, SWEEPS)?);
        quiet.push(run()?);
        let stop = AtomicBool::new(false);
        busy.push(std::thread::scope(|scope| {
            scope.spawn(|| move_devices(tree, place, interval, &stop));
            let cost = run();
            stop.store(true, Ordering::Relaxed);
            cost
        })?);
    }
    let floor = median(&floor);
    let (still, moved) = (median(&quiet), median(&busy));
    let ratio = (moved - floor) / (still - floor);
    say("")?;
    say(&format!(
        "{}: bare reads {floor:.0} ns a value; quiet {still:.0}; 1 % of the devices coming and going at each sweep {moved:.0}: {ratio:.2} × beyond the floor",
        tree.name
    ))
}

/// Every interval, 1 % of the devices go, and as many come.
fn move_devices(tree: &Tree, place: &Path, interval: Duration, stop: &AtomicBool) {
    let count = (tree.directories.len() / 100).max(1);
    let away = place.join("away");
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..count {
            let device = &tree.directories[turn % tree.directories.len()];
            turn += 1;
            // It goes, and one of its name and content comes: made elsewhere, and moved.
            if fs::create_dir(&away).is_err() {
                return;
            }
            for file in 0..25 {
                let _ = fs::write(away.join(format!("metric_{file}")), "1\n");
            }
            let gone = place.join(format!("gone{turn}"));
            let _ = fs::rename(device, &gone);
            let _ = fs::rename(&away, device);
            let _ = fs::remove_dir_all(gone);
        }
        std::thread::park_timeout(interval);
    }
}

fn median(costs: &[Cost]) -> f64 {
    let mut all: Vec<f64> = costs.iter().map(Cost::ns).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn min_to_max(costs: &[Cost]) -> (f64, f64) {
    let each = costs.iter().map(Cost::ns);
    each.fold((f64::MAX, 0.0), |(low, high), ns| {
        (low.min(ns), high.max(ns))
    })
}

pub(crate) fn mib(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}
