//! The collector as it is measured: the product's own crates, and an exporter that takes everything and ends the program
//! after so many sweeps.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use exporter_otlp as _;
use exporter_prometheus as _;
use exporter_stdout as _;
use extension_file_storage as _;
use pipeline::formats::otlp::Encoder;
use pipeline::{
    Batch, BuildInfo, Component, Context, Delivery, ExportError, Exporter, Result, async_trait,
    points,
};
use processor_batch as _;
use processor_labels as _;
use processor_metadata as _;
use receiver_kvm as _;
use receiver_statsfs as _;
use rustix::process::{Signal, getpid, kill_process};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::allocator;

/// The configuration of `discard`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How many sweeps of the slowest subsystem are taken.
    sweeps: u64,
    /// How many subsystems there are.
    subsystems: usize,
    /// Whether it makes the bytes of OTLP of it.
    #[serde(default)]
    encode: bool,
}

/// Takes everything, and does nothing with it, or nothing but to encode it.
#[derive(Debug)]
pub(crate) struct Discard {
    config: Config,
    ended: Mutex<BTreeSet<(u64, Arc<str>)>>,
    taken: AtomicU64,
    is_over: AtomicBool,
    encoder: Mutex<Encoder>,
}

pipeline::register! { exporter Discard }

/// Points that were taken, and when the first of them was, ns since the process began.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);
/// The CPU time of the threads that read, when the last sweep was taken, ns.
static READERS: AtomicU64 = AtomicU64::new(0);

impl Component for Discard {
    const TYPE: &'static str = "discard";
    type Config = Config;

    fn build(config: Config, _: &Context) -> Result<Discard> {
        Ok(Discard {
            config,
            ended: Mutex::default(),
            taken: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            encoder: Mutex::default(),
        })
    }
}

#[async_trait]
impl Exporter for Discard {
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        if self.config.encode {
            let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
            request.iter().for_each(|batch| {
                black_box(encoder.encode(batch));
            });
        }
        let taken = points(request);
        TAKEN.fetch_add(taken, Ordering::Relaxed);
        if self.taken.fetch_add(taken, Ordering::Relaxed) == 0 {
            FIRST.store(since_start(), Ordering::Relaxed);
        }
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in request.iter().filter(|batch| batch.sweep().last) {
            let head = batch.table().head();
            ended.insert((batch.sweep().number, Arc::clone(&head.subsystem)));
        }
        // Sweeps of a subsystem do not overlap: so many ends are so many sweeps of each.
        let is_over = ended.len() as u64 >= self.config.sweeps * self.config.subsystems as u64;
        if is_over && !self.is_over.swap(true, Ordering::Relaxed) {
            READERS.store(readers(), Ordering::Relaxed);
            // All of the program ends, with the other exporters.
            kill_process(getpid(), Signal::TERM).map_err(ExportError::permanent)?;
        }
        Ok(())
    }

    fn delivery() -> Delivery {
        let mut delivery = Delivery::default();
        delivery.num_consumers = 1;
        delivery.block_on_overflow = true;
        delivery
    }
}

/// The CPU time of the threads that read, ns.
fn readers() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let tasks = tasks.filter_map(|it| Some(it.ok()?.path()));
    let is_reader = |task: &PathBuf| {
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        ["kvm", "blocking"].contains(&name.trim_end())
    };
    tasks.filter(is_reader).map(|it| on_cpu(&it)).sum()
}

/// The CPU time of a task, by its directory in `/proc`, ns.
pub(crate) fn on_cpu(task: &Path) -> u64 {
    let times = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let first = times.split(' ').next();
    first.and_then(|it| it.parse().ok()).unwrap_or_default()
}

/// ns since this process began.
fn since_start() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.split(' ').nth(19))
        .and_then(|ticks| ticks.parse::<u64>().ok())
        .unwrap_or_default();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    // The kernel counts starts in hundredths of a second.
    now.saturating_sub(ticks * 10_000_000)
}

/// The CPU time of this process, ns, all its threads together.
pub(crate) fn cpu() -> u64 {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    cpu.tv_sec.unsigned_abs() * 1_000_000_000 + cpu.tv_nsec.unsigned_abs()
}

/// Runs the collector with the arguments of the command line, then writes down what it counted: points, allocations,
/// bytes, time to the first export, memory in KiB, and CPU time, that of the threads that read beside it.
pub(crate) fn main(report: &str) -> ExitCode {
    let code = pipeline_service::main(BuildInfo::default());
    let (allocations, bytes) = allocator::counts();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.unwrap_or("0").to_owned()
    };
    let taken = TAKEN.load(Ordering::Relaxed);
    let first = FIRST.load(Ordering::Relaxed);
    let text = format!(
        "{taken} {allocations} {bytes} {first} {} {} {} {}",
        memory("VmRSS:"),
        memory("RssFile:"),
        cpu(),
        READERS.load(Ordering::Relaxed)
    );
    // The parent misses it, and says so.
    let _ = std::fs::write(report, text);
    code
}
