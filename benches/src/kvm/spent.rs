//! Runs other people's programs, and takes what they cost, with all that they start and wait for.

use std::fs::{self, File};
use std::io;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::measure::{Bench, syscalls};

/// What a program gave, and what it took.
#[derive(Debug)]
pub(super) struct Spent {
    pub(super) output: Output,
    pub(super) cpu: Duration,
    pub(super) syscalls: Option<u64>,
}

impl Spent {
    pub(super) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// The last line that it wrote to standard error.
    pub(super) fn last_error(&self) -> String {
        let stderr = String::from_utf8_lossy(&self.output.stderr);
        stderr.lines().next_back().unwrap_or_default().to_owned()
    }
}

/// Runs it, with this on its standard input; with `count`, its system calls are counted, which costs by itself.
pub(super) fn spend(
    bench: &Bench,
    program: &[&str],
    input: &str,
    count: bool,
) -> io::Result<Spent> {
    let file = |name: &str| bench.directory().join(name);
    let (given, counted) = (file("input"), file("counted"));
    fs::write(&given, input)?;
    let perf = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"];
    let mut all: Vec<&str> = Vec::new();
    let place = counted.to_string_lossy();
    if count {
        all.extend(perf);
        all.push(&place);
    }
    all.extend(program);
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).stdin(File::open(&given)?);
    // What it writes beside its output, it writes where it is.
    command
        .current_dir(bench.directory())
        .stdout(Stdio::piped());
    let before = of_children()?;
    let output = command.output()?;
    let cpu = of_children()?.saturating_sub(before);
    let lines = count.then(|| fs::read_to_string(&counted)).transpose()?;
    Ok(Spent {
        output,
        cpu,
        syscalls: lines.and_then(|it| syscalls(&it)),
    })
}

/// The CPU time of all children that were waited for, and of theirs.
pub(super) fn of_children() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks = fields
        .skip(13)
        .take(2)
        .filter_map(|it| it.parse::<u64>().ok());
    // The kernel counts in hundredths of a second here.
    Ok(Duration::from_millis(10 * ticks.sum::<u64>()))
}
