//! Runs processes, and takes what they cost.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::reading::Reading;
use crate::trees::Tree;

/// Variables that make this program what is measured, or part of it.
pub(crate) const COLLECTOR: &str = "BENCHMARK_COLLECTOR";
pub(crate) const FLOOR: &str = "BENCHMARK_FLOOR";
pub(crate) const SINK: &str = "BENCHMARK_SINK";

/// How much of the pipeline a value goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipeline {
    /// The receiver, and nothing behind it.
    Sweep,
    /// metadata, labels, batch.
    Null,
    /// The same, and into the bytes of OTLP, which nobody gets.
    Encoded,
    /// metadata, labels, batch, and to a peer on loopback, with this compression.
    Otlp(&'static str),
}

/// What a run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) values: u64,
    pub(crate) cpu: Duration,
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
    pub(crate) first: Duration,
    /// Resident memory, KiB; of files, KiB.
    pub(crate) memory: u64,
    pub(crate) file_memory: u64,
    pub(crate) syscalls: Option<u64>,
    pub(crate) sweep: Sweep,
}

/// What the median sweep of a run had, and cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sweep {
    pub(crate) values: u64,
    /// CPU time, ns: of all threads, and of those that read.
    pub(crate) cpu: u64,
    pub(crate) readers: u64,
}

impl Cost {
    /// What this run cost more than another one.
    pub(crate) fn beyond(self, other: Cost) -> Cost {
        Cost {
            values: self.values.saturating_sub(other.values),
            cpu: self.cpu.saturating_sub(other.cpu),
            allocations: self.allocations.saturating_sub(other.allocations),
            bytes: self.bytes.saturating_sub(other.bytes),
            syscalls: self
                .syscalls
                .zip(other.syscalls)
                .map(|(a, b)| a.saturating_sub(b)),
            ..self
        }
    }

    /// CPU time a value, ns.
    pub(crate) fn ns(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.per_value()
    }

    pub(crate) fn per_value(&self) -> f64 {
        float(self.values.max(1))
    }
}

/// A count to reckon with: none is so large that it would be another one.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// What all measurements share.
pub(crate) struct Bench {
    directory: PathBuf,
    sink: Child,
    address: String,
    /// The demo agent, where Go built it.
    pub(crate) demo: Option<PathBuf>,
    pub(crate) perf: bool,
}

impl Bench {
    /// `demo` is the demo agent, where it is to be measured and was built.
    pub(crate) fn new(directory: &Path, demo: Option<PathBuf>) -> io::Result<Bench> {
        let mut sink = Command::new(std::env::current_exe()?);
        sink.env(SINK, "1").stdout(Stdio::piped());
        // A network namespace of our own begins with its loopback down; where it is another's, it is up.
        let _ = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        let mut sink = sink.spawn()?;
        let mut address = String::new();
        let stdout = sink
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        BufReader::new(stdout).read_line(&mut address)?;
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"]);
        let perf = quiet(perf).status().is_ok_and(|it| it.success());
        Ok(Bench {
            demo,
            directory: directory.to_owned(),
            sink,
            address: address.trim().to_owned(),
            perf,
        })
    }

    /// The bare reads, so many times.
    pub(crate) fn floor(&self, tree: &Tree, sweeps: u64) -> io::Result<Cost> {
        let list = self.list(tree)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env(FLOOR, &list).args([
            sweeps.to_string(),
            u8::from(tree.keeps).to_string(),
            tree.interval_ms().to_string(),
        ]);
        let text = String::from_utf8_lossy(&command.output()?.stdout).into_owned();
        two(&text)
    }

    /// The demo agent, so many sweeps.
    pub(crate) fn demo(&self, tree: &Tree, sweeps: u64) -> io::Result<Option<Cost>> {
        let Some(demo) = &self.demo else {
            return Ok(None);
        };
        let output = Command::new(demo)
            .arg(self.list(tree)?)
            .arg(sweeps.to_string())
            .output()?;
        two(&String::from_utf8_lossy(&output.stdout)).map(Some)
    }

    /// What so many sweeps cost, the start taken off; with `count`, their system calls too.
    pub(crate) fn sweeps(
        &self,
        reading: &Reading,
        pipeline: Pipeline,
        sweeps: u64,
        count: bool,
    ) -> io::Result<Cost> {
        let run = |sweeps| self.collector(reading, pipeline, sweeps, count);
        let few = run(2)?;
        Ok(run(2 + sweeps)?.beyond(few))
    }

    /// One run of the collector, from its start to its end.
    pub(crate) fn collector(
        &self,
        reading: &Reading,
        pipeline: Pipeline,
        sweeps: u64,
        count: bool,
    ) -> io::Result<Cost> {
        let config = self.directory.join("config.yaml");
        fs::write(&config, reading.config(pipeline, sweeps, &self.address))?;
        let (report, counted) = (
            self.directory.join("report"),
            self.directory.join("syscalls"),
        );
        let _ = fs::remove_file(&report);
        let mut command = if count {
            let mut perf = Command::new("perf");
            perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"])
                .arg(&counted);
            perf.arg(std::env::current_exe()?);
            perf
        } else {
            Command::new(std::env::current_exe()?)
        };
        command.env(COLLECTOR, &report).arg("--config").arg(&config);
        let output = command.output()?;
        let failed = || {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            io::Error::other(format!("the collector failed: {stderr}"))
        };
        if !output.status.success() {
            return Err(failed());
        }
        let cost = told(&report).ok_or_else(failed)?;
        let lines = if count {
            fs::read_to_string(&counted)?
        } else {
            String::new()
        };
        Ok(Cost {
            syscalls: syscalls(&lines),
            ..cost
        })
    }

    /// One sweep with this configuration: what goes to standard output.
    pub(crate) fn once(&self, config: &str) -> io::Result<String> {
        let file = self.directory.join("once.yaml");
        fs::write(&file, config)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env(COLLECTOR, self.directory.join("once.report"));
        let output = command.args(["--once", "--config"]).arg(&file).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(io::Error::other(text(&output.stderr)))
    }

    /// Where what is measured may write.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn list(&self, tree: &Tree) -> io::Result<PathBuf> {
        let list = self.directory.join("list");
        let mut text = String::new();
        for directory in &tree.directories {
            let _ = writeln!(text, "{}", directory.display());
        }
        fs::write(&list, text)?;
        Ok(list)
    }
}

/// What a collector wrote down at its end, as `child::main` writes it.
pub(crate) fn told(report: &Path) -> Option<Cost> {
    let text = fs::read_to_string(report).ok()?;
    let numbers: Vec<u64> = text.split(' ').filter_map(|it| it.parse().ok()).collect();
    let [
        values,
        allocations,
        bytes,
        first,
        memory,
        file_memory,
        cpu,
        points,
        sweep,
        readers,
    ] = numbers[..]
    else {
        return None;
    };
    Some(Cost {
        values,
        cpu: Duration::from_nanos(cpu),
        allocations,
        bytes,
        first: Duration::from_nanos(first),
        memory,
        file_memory,
        syscalls: None,
        sweep: Sweep {
            values: points,
            cpu: sweep,
            readers,
        },
    })
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.sink.kill();
        let _ = self.sink.wait();
    }
}

/// The system calls that `perf stat` has counted.
pub(crate) fn syscalls(lines: &str) -> Option<u64> {
    let line = lines.lines().find(|line| line.contains("sys_enter"))?;
    line.split(',').next()?.parse().ok()
}

/// Values, and their CPU time in ns.
fn two(text: &str) -> io::Result<Cost> {
    let numbers: Vec<u64> = text
        .split_whitespace()
        .filter_map(|it| it.parse().ok())
        .collect();
    let [values, cpu] = numbers[..] else {
        return Err(io::Error::other(format!("no figures: {text}")));
    };
    Ok(Cost {
        values,
        cpu: Duration::from_nanos(cpu),
        ..Cost::default()
    })
}

/// Builds the demo agent. It takes Go, and the network for what Go has not downloaded yet.
pub(crate) fn build_demo_agent(directory: &Path) -> Result<PathBuf, String> {
    let binary = directory.join("demo-agent-binary");
    let mut go = Command::new("go");
    go.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/demo-agent"));
    go.args(["build", "-o"]).arg(&binary).arg(".");
    let output = go.output().map_err(|error| format!("`go`: {error}"))?;
    if output.status.success() {
        return Ok(binary);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = stderr.lines().rev().take(3).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("`go build`: {}", last.join("; ")))
}

fn quiet(mut command: Command) -> Command {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
