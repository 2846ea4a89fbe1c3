//! `cargo run --profile dist -p benchmarks`: what a value costs, side by side in one run of half an hour; with an argument a
//! part of it: `costs [tmpfs|veth|kvm]`, `churn`, `scale` (up to a million files), `queue` (on the disk of the folder that follows it, else of the
//! temporary one), `size`, `scrape`. `kvm [costs|truth|libvirt]` is a
//! run of its own, of the receiver `kvm`, and so is `fleet [AGENTS] [SECONDS]`, of a gateway of many agents. Everything that is measured is a process of its own, by its CPU time; the cost of
//! the start is taken off by running each twice, few sweeps and many.

mod allocator;
mod child;
mod fleet;
mod floor;
mod kvm;
mod load;
mod measure;
mod otelcol;
mod queue;
mod reading;
mod report;
mod scrape;
mod served;
mod sink;
mod trees;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use measure::{Bench, Pipeline};
use trees::Tree;

fn main() -> ExitCode {
    let role = |name: &str| std::env::var(name).ok();
    if let Some(report) = role(measure::COLLECTOR) {
        return child::main(&report);
    }
    if let Some(list) = role(measure::FLOOR) {
        return floor::main(&list);
    }
    if role(measure::SINK).is_some() {
        return sink::main().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let what = std::env::args().nth(1);
    let done = match what.as_deref() {
        None => everything(),
        Some("costs") => costs(&std::env::args().nth(2).unwrap_or_default()),
        Some("scale") => scale(),
        Some("churn") => churn(),
        Some("kvm") => kvm::main(std::env::args().nth(2).as_deref()),
        Some("fleet") => fleet(),
        Some("queue") => queue_costs(),
        Some("size") => report::sizes(),
        Some("scrape") => scrapes(),
        Some(other) => Err(io::Error::other(format!(
            "`{other}` is none of costs, kvm, fleet, scale, churn, queue, size, scrape"
        ))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Where trees of files stand.
fn memory() -> io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm")
}

fn everything() -> io::Result<()> {
    costs("")?;
    churn()?;
    scale()?;
    scrapes()?;
    queue_costs()?;
    report::sizes()
}

/// What a gateway carries: of 1,000 agents, half a minute a row, or as it is asked for.
fn fleet() -> io::Result<()> {
    let number =
        |at: usize, default: usize| match std::env::args().nth(at) {
            Some(text) => text.parse().ok().filter(|it| *it > 0).ok_or_else(|| {
                io::Error::other(format!("`{text}` is no number of agents or seconds"))
            }),
            None => Ok(default),
        };
    let (agents, seconds) = (number(2, 1_000)?, number(3, 30)?);
    let directory = memory()?;
    fleet::fleet(directory.path(), agents, seconds as u64)
}

/// What a scrape costs, beside others' exporters.
fn scrapes() -> io::Result<()> {
    let directory = memory()?;
    let bench = Bench::new(directory.path(), None)?;
    scrape::scrape(&bench, directory.path())
}

/// What a queue costs, on the disk of the folder that is named.
fn queue_costs() -> io::Result<()> {
    let directory = match std::env::args().nth(2) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    queue::queue(directory.path())
}

/// What a value costs, by tree and by how much of the pipeline it goes through; with a name, only trees of that name.
fn costs(only: &str) -> io::Result<()> {
    let directory = memory()?;
    // In a network of our own there is nothing to download from: Go builds first.
    let demo = measure::build_demo_agent(directory.path());
    if let Err(error) = &demo {
        report::lacks("demo agent", error)?;
    }
    // What takes root, and a kernel that has it, is left out by name.
    let sysfs = directory.path().join("sys");
    let own = trees::own_network(&sysfs);
    let bench = Bench::new(directory.path(), demo.ok())?;
    report::head(&bench)?;
    let is_meant = |name: &str| only.is_empty() || only == name;
    for files in SIZES.into_iter().filter(|_| is_meant("tmpfs")) {
        let tree = trees::tmpfs(directory.path(), files, 10, false)?;
        report::costs(&bench, &tree)?;
        std::fs::remove_dir_all(&tree.root)?;
    }
    for files in SIZES.into_iter().filter(|_| is_meant("veth")) {
        let tree = match &own {
            Ok(()) => trees::veth(&sysfs, files).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match tree {
            Ok(tree) => report::costs(&bench, &tree)?,
            Err(error) => report::lacks("veth", &error)?,
        }
    }
    for vcpus in [1, 8].into_iter().filter(|_| is_meant("kvm")) {
        let debugfs = directory.path().join(format!("debug{vcpus}"));
        match trees::kvm(&debugfs, vcpus) {
            Ok((tree, vms)) => {
                report::costs(&bench, &tree)?;
                drop(vms);
            }
            Err(error) => report::lacks("kvm", &error.to_string())?,
        }
    }
    Ok(())
}

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// How cost and memory grow with the number of files: hard links in many subsystems.
fn scale() -> io::Result<()> {
    let directory = memory()?;
    let bench = Bench::new(directory.path(), None)?;
    report::growth_head()?;
    for (files, subsystems) in [(1_000, 1), (10_000, 10), (100_000, 100), (1_000_000, 1_000)] {
        let tree = trees::tmpfs(directory.path(), files, subsystems, true)?;
        report::growth(&bench, &tree)?;
        std::fs::remove_dir_all(&tree.root)?;
    }
    Ok(())
}

/// What change costs: 1 % of the devices come and go at each sweep.
fn churn() -> io::Result<()> {
    let directory = memory()?;
    let bench = Bench::new(directory.path(), None)?;
    let tree: Tree = trees::tmpfs(directory.path(), 10_000, 10, false)?;
    report::churn(&bench, &tree, Path::new(directory.path()), Pipeline::Null)
}
