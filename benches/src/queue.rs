//! What a queue costs a point, in memory and on disk, beside the real Collector's with the same points: `queue`.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use pipeline::formats::otlp::to_request;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use crate::load;
use crate::measure::{self, COLLECTOR, float};
use crate::report::{lacks, say};
use crate::{otelcol, sink};

/// Points of a request.
const POINTS: u64 = 10_000;
/// Requests of a short run and of a long one: the cost of the start is in both.
const FEW: u64 = 20;
const MANY: u64 = 420;
const ROUNDS: usize = 5;

/// The time between two requests of a load that the far side keeps up with, which makes messages of all bytes.
const PACE: &str = "interval_ms: 25";
/// That of one that it does not keep up with: what is on disk is read again.
const FLOOD: &str = "";

/// The loads: what they are called, their pace, and how messages are compressed. What is compressed as this program does where
/// nothing is written costs more a point whatever the queue is.
const LOADS: [(&str, &str, &str); 3] = [
    ("", PACE, "none"),
    (", flooded", FLOOD, "none"),
    (", zstd", PACE, "zstd"),
];

/// How a queue is kept, and how the Collector calls that, if it can.
const KINDS: [(&str, How, How); 5] = [
    ("no queue", None, None),
    ("in memory", Some(""), Some("")),
    ("on disk, fsync: never", Some("never"), Some("false")),
    ("on disk, fsync: interval", Some("interval"), None),
    ("on disk, fsync: each", Some("each"), Some("true")),
];

/// What a run cost.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    cpu: Duration,
    /// Resident, KiB.
    memory: u64,
}

pub(crate) fn queue(directory: &Path) -> io::Result<()> {
    let runtime = Runtime::new()?;
    let taken = Arc::<AtomicU64>::default();
    let sink = sink::serve(&runtime, Arc::clone(&taken))?;
    let bench = QueueBench {
        directory: directory.to_owned(),
        runtime,
        sink,
        taken,
    };
    say(
        "| program | queue | CPU ns a point: median (least–most) | points a CPU-second | bytes on disk a point | memory, MiB |",
    )?;
    say("|---|---|---|---|---|---|")?;
    for (load, pace, compression) in LOADS {
        let run = |how, requests| bench.ours(how, (pace, compression), requests);
        let kinds = KINDS.map(|(name, how, _)| (name, how));
        compare(&format!("this{load}"), &kinds, run, |how| {
            bench.bytes_of_ours(how)
        })?;
    }
    let otelcol = match otelcol::program() {
        Ok(program) => program,
        Err(error) => return lacks("the Collector", &error.to_string()),
    };
    let kinds = KINDS.into_iter().map(|(name, _, how)| (name, how));
    let kinds: Vec<_> = kinds
        .filter(|(name, how)| how.is_some() || *name == "no queue")
        .collect();
    let run = |how, requests| bench.collector(&otelcol, how, requests, true);
    compare("Collector", &kinds, run, |how| {
        bench.bytes_of_collector(&otelcol, how)
    })
}

/// A way of keeping a queue.
type How = Option<&'static str>;

/// Measures ways of keeping a queue by turns, so that what the machine does beside it meets all, and says what each costs.
fn compare(
    program: &str,
    kinds: &[(&str, How)],
    run: impl Fn(How, u64) -> io::Result<Run>,
    bytes: impl Fn(How) -> io::Result<Option<f64>>,
) -> io::Result<()> {
    let mut costs = vec![Vec::new(); kinds.len()];
    let mut memory = vec![0; kinds.len()];
    for _ in 0..ROUNDS {
        for (at, (_, how)) in kinds.iter().enumerate() {
            let (few, many) = (run(*how, FEW)?, run(*how, MANY)?);
            let cpu = many.cpu.saturating_sub(few.cpu).as_secs_f64();
            costs[at].push(cpu * 1e9 / float((MANY - FEW) * POINTS));
            memory[at] = many.memory.max(memory[at]);
        }
    }
    for (((name, how), costs), memory) in kinds.iter().zip(&mut costs).zip(memory) {
        costs.sort_by(f64::total_cmp);
        let (least, median, most) = (costs[0], costs[ROUNDS / 2], costs[ROUNDS - 1]);
        let bytes = bytes(*how)?.map_or("–".into(), |it| format!("{it:.1}"));
        say(&format!(
            "| {program} | {name} | {median:.0} ({least:.0}–{most:.0}) | {:.0} | {bytes} | {:.1} |",
            1e9 / median,
            float(memory) / 1024.0
        ))?;
    }
    Ok(())
}

struct QueueBench {
    directory: PathBuf,
    runtime: Runtime,
    sink: SocketAddr,
    /// Points that the sink has got.
    taken: Arc<AtomicU64>,
}

impl QueueBench {
    /// This program, so many requests, to the sink.
    fn ours(&self, how: Option<&str>, load: (&str, &str), requests: u64) -> io::Result<Run> {
        self.run_ours(how, load, requests, self.sink, "1h")
    }

    fn run_ours(
        &self,
        how: Option<&str>,
        (pace, compression): (&str, &str),
        requests: u64,
        to: SocketAddr,
        shutdown: &str,
    ) -> io::Result<Run> {
        let queue = match how {
            None => "enabled: false",
            Some("") => "overflow: block",
            Some(_) => "overflow: block, storage: file_storage",
        };
        let fsync = how.filter(|it| !it.is_empty()).unwrap_or("never");
        let folder = self.empty_folder()?;
        let config = format!(
            "receivers: {{load: {{points: {POINTS}, sweeps: {requests}, {pace}}}}}\n\
             exporters: {{otlp: {{endpoint: '{to}', tls: {{insecure: true}}, compression: {compression}, sending_queue: {{{queue}}}}}}}\n\
             extensions: {{file_storage: {{directory: '{}', max_size: 100GB, fsync: {fsync}}}}}\n\
             service:\n  extensions: [file_storage]\n  telemetry: {{logs: {{level: error}}}}\n  shutdown_timeout: {shutdown}\n  pipelines: {{metrics: {{receivers: [load], exporters: [otlp]}}}}\n",
            folder.display()
        );
        let (file, report) = (
            self.directory.join("queue.yaml"),
            self.directory.join("report"),
        );
        fs::write(&file, config)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env(COLLECTOR, &report).arg("--config").arg(&file);
        let output = command.output()?;
        if !output.status.success() {
            return Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        let cost = measure::told(&report).ok_or_else(|| io::Error::other("no figures"))?;
        Ok(Run {
            cpu: cost.cpu,
            memory: cost.memory,
        })
    }

    /// What a point takes on disk while the far side is away.
    fn bytes_of_ours(&self, how: Option<&str>) -> io::Result<Option<f64>> {
        if how.is_none_or(str::is_empty) {
            return Ok(None);
        }
        self.run_ours(how, (FLOOD, "none"), FEW, nowhere()?, "1s")?;
        self.bytes_a_point().map(Some)
    }

    /// The Collector, so many requests; until they are at the sink, or with it.
    fn collector(
        &self,
        otelcol: &Path,
        how: Option<&str>,
        requests: u64,
        arrives: bool,
    ) -> io::Result<Run> {
        let to = if arrives { self.sink } else { nowhere()? };
        let listens = nowhere()?;
        let queue = match how {
            None => "enabled: false",
            Some("") => "block_on_overflow: true, queue_size: 100",
            Some(_) => "queue_size: 1000000, storage: file_storage",
        };
        let fsync = how.filter(|it| !it.is_empty()).unwrap_or("false");
        let folder = self.empty_folder()?;
        let config = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{listens}', max_recv_msg_size_mib: 64}}}}}}}}\n\
             exporters: {{otlp: {{endpoint: '{to}', tls: {{insecure: true}}, compression: none, sending_queue: {{{queue}}}, retry_on_failure: {{max_elapsed_time: 0}}}}}}\n\
             extensions: {{file_storage: {{directory: '{}', fsync: {fsync}}}}}\n\
             service: {{extensions: [file_storage], telemetry: {{logs: {{level: info}}, metrics: {{level: none}}}}, pipelines: {{metrics: {{receivers: [otlp], exporters: [otlp]}}}}}}\n",
            folder.display()
        );
        let file = self.directory.join("otelcol.yaml");
        fs::write(&file, config)?;
        let mut child = Command::new(otelcol)
            .arg("--config")
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()?;
        let result = self.load(&mut child, listens, requests, arrives);
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        child.wait()?;
        result
    }

    fn load(
        &self,
        child: &mut Child,
        to: SocketAddr,
        requests: u64,
        arrives: bool,
    ) -> io::Result<Run> {
        let stderr = child
            .stderr
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        let mut lines = BufReader::new(stderr).lines();
        if !lines.any(|line| line.is_ok_and(|it| it.contains("Everything is ready"))) {
            return Err(io::Error::other("the Collector did not start"));
        }
        // Read on, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let before = self.taken.load(Ordering::Relaxed);
        self.runtime.block_on(send(to, requests))?;
        while arrives && self.taken.load(Ordering::Relaxed) < before + requests * POINTS {
            std::thread::sleep(Duration::from_millis(5));
        }
        let process = format!("/proc/{}", child.id());
        let stat = fs::read_to_string(format!("{process}/stat"))?;
        let ticks = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let ticks: u64 = ticks
            .skip(11)
            .take(2)
            .filter_map(|it| it.parse::<u64>().ok())
            .sum();
        let status = fs::read_to_string(format!("{process}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|it| it.split_whitespace().next()?.parse().ok());
        Ok(Run {
            // The kernel counts hundredths of a second.
            cpu: Duration::from_millis(ticks * 10),
            memory: memory.unwrap_or_default(),
        })
    }

    fn bytes_of_collector(&self, otelcol: &Path, how: Option<&str>) -> io::Result<Option<f64>> {
        if how.is_none_or(str::is_empty) {
            return Ok(None);
        }
        self.collector(otelcol, how, FEW, false)?;
        self.bytes_a_point().map(Some)
    }

    fn empty_folder(&self) -> io::Result<PathBuf> {
        let folder = self.directory.join("queue");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    fn bytes_a_point(&self) -> io::Result<f64> {
        let bytes = bytes_below(&self.directory.join("queue"))?;
        Ok(float(bytes) / float(FEW * POINTS))
    }
}

/// The same points as those of `load`, as OTLP.
async fn send(to: SocketAddr, requests: u64) -> io::Result<()> {
    let client = MetricsServiceClient::connect(format!("http://{to}")).await;
    let mut client = client
        .map_err(io::Error::other)?
        .max_encoding_message_size(usize::MAX);
    let points = usize::try_from(POINTS).unwrap_or_default();
    let (table, starts) = (load::table(points), load::starts(points));
    for number in 0..requests {
        let request = to_request(&[load::sweep(&table, &starts, number)]);
        // A full queue refuses it, and it comes again.
        while client.export(request.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

/// An address at which nobody listens.
fn nowhere() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn bytes_below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let (entry, metadata) = entry.and_then(|it| it.metadata().map(|data| (it, data)))?;
        bytes += if metadata.is_dir() {
            bytes_below(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}
