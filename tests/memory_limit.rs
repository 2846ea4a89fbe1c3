//! A cgroup that gives the program little memory, while the upstream is away.

use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::common::alone::{CPU, alone};
use crate::common::peer::{INSECURE, Peer, assert_accounted, otlp_config};
use crate::common::{
    BINARY, assert_fault, collector, count, count_after, free_address, is_root, lacks, lines_until,
    peak_memory, shared_memory, signal, spawn,
};

/// A cgroup of memory, of either version; it goes with this.
struct Cgroup {
    directory: PathBuf,
    limit: &'static str,
}

impl Cgroup {
    /// `None`, reported on standard error, where none can be made.
    fn new(test: &str) -> Option<Cgroup> {
        let name = format!("statsfs-collector-test-{}", std::process::id());
        // What is below has the controller only where the root gives it.
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
        let roots = [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ];
        let made = roots.into_iter().find_map(|(root, limit)| {
            let directory = Path::new(root).join(&name);
            let cgroup = Cgroup { directory, limit };
            fs::create_dir(&cgroup.directory).ok()?;
            cgroup.directory.join(limit).exists().then_some(cgroup)
        });
        if made.is_none() || !is_root() {
            lacks(test, "root that may make a memory cgroup");
        }
        made
    }

    fn limit_to(&self, bytes: u64) {
        fs::write(self.directory.join(self.limit), bytes.to_string()).unwrap();
    }

    /// The program in it.
    fn command(&self) -> Command {
        let mut command = Command::new("sh");
        let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        command.args(["-c", script]).arg(&self.directory);
        command.args([BINARY, "--config", "-"]);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Few enough that their descriptors stay open, with which a sweep of a debug build is several times as fast.
const SERIES: usize = 15_000;

/// So many sweeps, of 240 KB of values each, would be too much with those that still wait.
const COALESCED_SWEEPS: u64 = 80;

/// A tree of so many series.
fn tree() -> tempfile::TempDir {
    let tree = shared_memory();
    for file in 0..SERIES {
        let device = tree.path().join(format!("s/device-{:03}", file / 200));
        if file % 200 == 0 {
            fs::create_dir_all(&device).unwrap();
        }
        fs::write(device.join(format!("metric_{:03}", file % 200)), "1\n").unwrap();
    }
    tree
}

#[test]
fn in_a_cgroup_with_little_memory_an_outage_kills_nobody_and_costs_no_total() {
    // Sweeps without a pause load the cores.
    let _cpu = alone(&CPU);
    let test = "in_a_cgroup_with_little_memory_an_outage_kills_nobody_and_costs_no_total";
    let Some(cgroup) = Cgroup::new(test) else {
        return;
    };
    let tree = tree();
    let (peer, address) = (Peer::default(), free_address());
    let receiver = format!(
        "{{collection_interval: 10ms, root: {}}}",
        tree.path().display()
    );
    // The queue is bounded by nothing else.
    let more = format!("{INSECURE}, sending_queue: {{queue_size: 1000000}}");
    let yaml = otlp_config(&receiver, &address.to_string(), &more)
        .replace(", max_elapsed_time: 1m", "")
        .replace(
            "service:\n",
            "service:\n  shutdown_timeout: 1m\n  telemetry: {logs: {summary_interval: 100ms}}\n",
        );
    // What it takes before anything waits, and somewhat more.
    let mut child = collector(&yaml, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| {
        count(line, "points_handed") >= SERIES as u64
    });
    let peak = peak_memory(&child) << 10;
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    cgroup.limit_to(peak + (24 << 20));

    let mut child = spawn(cgroup.command(), &yaml);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains("memory is short"));
    lines_until(&mut stderr, |line| {
        count_after(line, "coalesced=") >= COALESCED_SWEEPS * SERIES as u64
    });
    let _server = peer.serve(address, None, true);
    lines_until(&mut stderr, |line| count(line, "points_sent") > 0);
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert_accounted(&rest);
    assert_eq!(count_after(&rest, "queue_full="), 0, "{rest}");
    assert_fault(
        "the upstream is away and memory is short",
        "how often series were seen; no total, and the program is not killed for what waits",
        &rest,
        &["coalesced=N"],
    );
}
