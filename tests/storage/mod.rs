//! Queues on disk: what was taken arrives, whatever happens to the program, its peer and its disk.

mod damage;
mod disk;
mod failing;
mod killed;
mod upgrade;

use std::collections::BTreeSet;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric;
use rustix::process::Signal;

use crate::common::peer::{INSECURE, Peer, Serving, otlp_config};
use crate::common::{BINARY, collector, free_address, lines_until, signal, text};

/// A tree of one file, a directory for queues, and a peer that may be there or not.
struct Setting {
    folder: tempfile::TempDir,
    peer: Peer,
    address: std::net::SocketAddr,
}

impl Setting {
    fn new() -> Setting {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("tree/s")).unwrap();
        std::fs::write(folder.path().join("tree/s/c"), "1\n").unwrap();
        Setting {
            folder,
            peer: Peer::default(),
            address: free_address(),
        }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("queue")
    }

    /// The configuration; `more` are further keys of the storage.
    fn config(&self, more: &str) -> String {
        let (tree, directory) = (self.folder.path().join("tree"), self.directory());
        config(&tree, &directory, &self.address.to_string(), more)
    }

    fn start(&self, more: &str) -> Child {
        collector(&self.config(more), &[])
    }

    fn serve(&self) -> Serving {
        self.peer.serve(self.address, None, true)
    }

    /// The times of the points that arrived, in that order.
    fn arrived(&self) -> Vec<u64> {
        let got = self.peer.received.lock().unwrap();
        got.iter().flat_map(times).collect()
    }

    /// The times of the points that wait on disk.
    fn waiting(&self) -> BTreeSet<u64> {
        let exported = queue(&[self.directory().to_str().unwrap(), "--export"]);
        let requests = exported
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        requests.flat_map(|it| times(&it)).collect()
    }

    fn segments(&self) -> Vec<PathBuf> {
        files(&self.directory().join("otlp"), "segment")
    }

    /// Waits until so many bytes wait on disk.
    fn wait_for_bytes(&self, bytes: u64) {
        self.wait_for_bytes_of("otlp", bytes);
    }

    /// The same in this folder.
    fn wait_for_bytes_of(&self, folder: &str, bytes: u64) {
        while self.bytes_of(folder) < bytes {
            std::thread::yield_now();
        }
    }

    /// How many bytes wait on disk.
    fn bytes(&self) -> u64 {
        self.bytes_of("otlp")
    }

    fn bytes_of(&self, folder: &str) -> u64 {
        let segments = files(&self.directory().join(folder), "segment");
        let len = |path: &PathBuf| path.metadata().map_or(0, |it| it.len());
        segments.iter().map(len).sum()
    }
}

fn config(tree: &Path, directory: &Path, address: &str, more: &str) -> String {
    let receiver = format!("{{collection_interval: 2ms, root: {}}}", tree.display());
    let exporter = format!("{INSECURE}, sending_queue: {{queue_size: 3, storage: file_storage}}");
    let storage = format!(
        "extensions:\n  file_storage: {{directory: {}, {more}}}\nservice:\n  shutdown_timeout: 1m\n  extensions: [file_storage]\n",
        directory.display()
    );
    otlp_config(&receiver, address, &exporter).replace("service:\n", &storage)
}

/// Paths of this extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|it| it.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|it| it.extension().is_some_and(|it| it == extension))
        .collect();
    paths.sort();
    paths
}

fn times(request: &ExportMetricsServiceRequest) -> Vec<u64> {
    let metrics = request.resource_metrics.iter();
    let metrics = metrics
        .flat_map(|it| &it.scope_metrics)
        .flat_map(|it| &it.metrics);
    let points = metrics.flat_map(|it| match &it.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.iter(),
        Some(metric::Data::Sum(sum)) => sum.data_points.iter(),
        _ => panic!("a gauge, or a sum"),
    });
    points.map(|it| it.time_unix_nano).collect()
}

/// What `queue` prints.
fn queue(arguments: &[&str]) -> String {
    let output = Command::new(BINARY)
        .arg("queue")
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn stderr(child: &mut Child) -> BufReader<ChildStderr> {
    BufReader::new(child.stderr.take().unwrap())
}

/// Runs it without a peer until so many bytes wait on disk, and ends it; its log.
fn leave(setting: &Setting, bytes: u64, more: &str) -> String {
    let child = setting.start(more);
    setting.wait_for_bytes(bytes);
    crate::common::end(child)
}

/// Runs it with a peer until nothing waits any more, and ends it; its log.
fn drain(setting: &Setting, more: &str) -> String {
    let _server = setting.serve();
    let mut child = setting.start(more);
    let before = setting.arrived().len();
    // What is new comes after what waits.
    let waiting = setting.waiting().len();
    while setting.arrived().len() < before + waiting.max(1) {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    crate::common::end(child)
}

/// Tells it to end; the rest of its log.
fn ended_by_term(child: &Child, log: &mut BufReader<ChildStderr>) -> String {
    signal(child, Signal::TERM);
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    rest
}

fn kill(child: &mut Child) {
    signal(child, Signal::KILL);
    child.wait().unwrap();
}

/// The lines of its log up to one with this text.
fn log_until(from: &mut BufReader<ChildStderr>, text: &str) -> Vec<String> {
    lines_until(from, |line| line.contains(text))
}
