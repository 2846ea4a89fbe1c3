//! The collector as it is measured: the product's own crates, and an exporter that takes everything and ends the program
//! after so many sweeps.

use std::collections::BTreeSet;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
    readers: OnceLock<Vec<File>>,
    taken: AtomicU64,
    is_over: AtomicBool,
    encoder: Mutex<Encoder>,
}

pipeline::register! { exporter Discard }

/// Points that were taken, and when the first of them was, ns since the process began.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);
/// What was spent until a sweep was taken: for each sweep.
static MOMENTS: Mutex<Vec<Moment>> = Mutex::new(Vec::new());

/// What was spent until a sweep was taken.
#[derive(Clone, Copy, Debug)]
struct Moment {
    points: u64,
    /// CPU time, ns: of all threads, and of those that read.
    cpu: u64,
    readers: u64,
}

impl Component for Discard {
    const TYPE: &'static str = "discard";
    type Config = Config;

    fn build(config: Config, _: &Context) -> Result<Discard> {
        Ok(Discard {
            config,
            ended: Mutex::default(),
            readers: OnceLock::new(),
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
            let moment = Moment {
                points: self.taken.load(Ordering::Relaxed),
                cpu: cpu(),
                readers: self.readers.get_or_init(readers).iter().map(on_cpu).sum(),
            };
            let mut moments = MOMENTS.lock().unwrap_or_else(PoisonError::into_inner);
            moments.push(moment);
        }
        // Sweeps of a subsystem do not overlap: so many ends are so many sweeps of each.
        let is_over = ended.len() as u64 >= self.config.sweeps * self.config.subsystems as u64;
        if is_over && !self.is_over.swap(true, Ordering::Relaxed) {
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

/// Where the CPU time is told of the threads that read.
fn readers() -> Vec<File> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let tasks = tasks.filter_map(|it| Some(it.ok()?.path()));
    let is_reader = |task: &PathBuf| {
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        ["kvm", "blocking"].contains(&name.trim_end())
    };
    let times = tasks.filter(is_reader).map(|it| it.join("schedstat"));
    times.filter_map(|it| File::open(it).ok()).collect()
}

/// The CPU time of a task, by its `schedstat` in `/proc`, ns.
pub(crate) fn on_cpu(times: &File) -> u64 {
    let mut text = [0; 128];
    let length = times.read_at(&mut text, 0).unwrap_or_default();
    let digits = text[..length].iter().take_while(|it| it.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

/// What the median sweep had, and cost: points, CPU time of all threads, and of those that read, ns.
fn median_sweep(moments: &[Moment]) -> [u64; 3] {
    [
        |it: &Moment| it.points,
        |it: &Moment| it.cpu,
        |it: &Moment| it.readers,
    ]
    .map(|of| {
        let each = moments.windows(2).map(|it| of(&it[1]) - of(&it[0]));
        let mut each: Vec<u64> = each.collect();
        each.sort_unstable();
        each.get(each.len() / 2).copied().unwrap_or_default()
    })
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
/// bytes, time to the first export, memory in KiB, CPU time, and what the median sweep had and cost.
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
    let moments = MOMENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let [points, sweep, readers] = median_sweep(&moments);
    let text = format!(
        "{taken} {allocations} {bytes} {first} {} {} {} {points} {sweep} {readers}",
        memory("VmRSS:"),
        memory("RssFile:"),
        cpu(),
    );
    // The parent misses it, and says so.
    let _ = std::fs::write(report, text);
    code
}
