//! The exporter `prometheus`, scraped: by hand, by Prometheus' own tools, and by a real Prometheus.

mod expiration;
pub(crate) mod http;
mod openmetrics;
mod restart;
mod served;
pub(crate) mod server;
mod slow;
mod ways;

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use self::http::{Answer, get};
use self::server::Prometheus;
use crate::common::{collector, count, file, lines_until, repository, run, text};
use crate::prometheus::{assert_parses, has_promtool};

/// The program, with an exporter that is scraped.
struct Scraped {
    child: Child,
    address: SocketAddr,
    stderr: BufReader<ChildStderr>,
}

impl Scraped {
    /// Once the first sweep is in the exposition.
    fn start(root: &Path, exporter: &str) -> Scraped {
        let scraped = Scraped::of(&config(root, "127.0.0.1:0", exporter));
        while !scraped.scrape(&[]).body().contains("# TYPE") {
            std::thread::yield_now();
        }
        scraped
    }

    /// Once it listens.
    fn of(config: &str) -> Scraped {
        let mut child = collector(config, &[]);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = lines_until(&mut stderr, |line| line.contains(" address="));
        let address = lines.last().unwrap().split_once("address=").unwrap().1;
        let address = address.split(' ').next().unwrap().trim_matches('"');
        Scraped {
            address: address.parse().unwrap(),
            child,
            stderr,
        }
    }

    fn scrape(&self, headers: &[&str]) -> Answer {
        get(self.address, "/metrics", headers)
    }

    /// Ends it. The rest of its standard error.
    fn end(mut self) -> String {
        self.child.stderr = None;
        let mut rest = String::new();
        crate::common::signal(&self.child, rustix::process::Signal::TERM);
        std::io::Read::read_to_string(&mut self.stderr, &mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

/// A test that fails leaves none behind.
impl Drop for Scraped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(root: &Path, endpoint: &str, exporter: &str) -> String {
    format!(
        "receivers: {{statsfs: {{root: {}, collection_interval: 100ms}}}}\nprocessors: {{metadata: {{}}, batch: {{}}}}\n\
         exporters: {{prometheus: {{endpoint: '{endpoint}', {exporter}}}}}\n\
         service: {{pipelines: {{metrics: {{receivers: [statsfs], processors: [metadata, batch], exporters: [prometheus]}}}}}}\n",
        root.display()
    )
}

#[test]
fn promtool_reads_the_exposition_of_each_fixture_tree() {
    if !has_promtool("promtool_reads_the_exposition_of_each_fixture_tree") {
        return;
    }
    for (tree, series) in [
        ("net-statsfs/sys/kernel/stats", 72),
        ("kvm-statsfs-liiling/sys/kernel/statsfs", 114),
    ] {
        let tree = repository("tests/fixtures").join(tree);
        let scraped = Scraped::start(&tree, "");
        let answer = scraped.scrape(&[]);
        assert_parses(answer.body().as_bytes());
        let is_series = |line: &&str| !line.starts_with('#') && !line.starts_with("target_info");
        let written = answer.body().lines().filter(is_series).count();
        assert_eq!(written, series, "{}", answer.body());
        let stderr = scraped.end();
        assert_eq!(count(&stderr, "points_dropped"), 0, "{stderr}");
    }
}

#[test]
fn the_client_decides_on_format_names_and_compression() {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "net/eth0/rx_bytes");
    let scraped = Scraped::start(
        tree.path(),
        "translation_strategy: NoUTF8EscapingWithSuffixes",
    );
    for (accept, content_type, line) in [
        (
            "*/*",
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            "\nnet_rx_bytes_total{device=\"/eth0\",",
        ),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8",
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            "\n{\"net/rx_bytes_total\",device=\"/eth0\",",
        ),
        (
            "application/openmetrics-text;version=1.0.0",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
            "# TYPE net_rx_bytes counter\n# UNIT net_rx_bytes bytes\nnet_rx_bytes_total{device=\"/eth0\",",
        ),
    ] {
        let answer = scraped.scrape(&[&format!("Accept: {accept}")]);
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert!(answer.body().contains(line), "{}", answer.body());
        assert_eq!(answer.header("content-encoding"), None);
    }
    let plain = scraped.scrape(&[]);
    let zipped = scraped.scrape(&["Accept-Encoding: gzip"]);
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    let mut gunzip = Command::new("gunzip");
    let mut gunzip = gunzip
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    gunzip
        .stdin
        .take()
        .unwrap()
        .write_all(&zipped.bytes)
        .unwrap();
    assert_eq!(
        text(&gunzip.wait_with_output().unwrap().stdout),
        plain.body()
    );
    let missing = get(scraped.address, "/", &[]);
    assert_eq!(missing.status, 404);
    let foreign = scraped.scrape(&["Host: evil.example"]);
    assert_eq!(foreign.status, 403, "{}", foreign.body());
    scraped.end();
}

#[test]
fn nothing_listens_with_once_and_a_port_that_is_taken_is_an_error() {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "net/eth0/rx_bytes");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = config(tree.path(), &address, "");
    let once = run(&config, &["--once"]);
    assert!(once.status.success(), "{}", text(&once.stderr));
    let output = run(&config, &[]);
    let stderr = text(&output.stderr);
    assert!(
        !output.status.success() && stderr.contains(&address),
        "{stderr}"
    );
}

#[test]
fn who_reads_slowly_holds_nobody_up() {
    let tree = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    let scraped = Scraped::start(&tree, "");
    let slow: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(scraped.address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    for _ in 0..8 {
        assert_eq!(scraped.scrape(&[]).status, 200);
    }
    drop(slow);
    scraped.end();
}

#[test]
fn a_real_prometheus_sees_values_ends_and_comebacks() {
    let test = "a_real_prometheus_sees_values_ends_and_comebacks";
    let tree = tempfile::tempdir().unwrap();
    for device in ["eth0", "eth1"] {
        file(tree.path(), &format!("net/{device}/rx_bytes"));
    }
    let scraped = Scraped::start(tree.path(), "without_scope_info: true");
    let Some(prometheus) = Prometheus::start(test, scraped.address) else {
        return;
    };
    let both = "count(net_rx_bytes_total)";
    prometheus.wait_for(both, "2");
    prometheus.wait_for("net_rx_bytes_total{device=\"/eth0\"}", "1");
    prometheus.wait_for(
        "count(target_info{service_name=\"statsfs-collector\"})",
        "1",
    );
    std::fs::remove_dir_all(tree.path().join("net/eth1")).unwrap();
    prometheus.wait_for(both, "1");
    file(tree.path(), "net/eth1/rx_bytes");
    prometheus.wait_for(both, "2");
    // A counter that rises, is set back, and rises: its rate is never more than what it rose by.
    let counter = tree.path().join("net/eth0/rx_bytes");
    for value in ["50", "100", "10", "20"] {
        std::fs::write(&counter, format!("{value}\n")).unwrap();
        prometheus.wait_for("net_rx_bytes_total{device=\"/eth0\"}", value);
    }
    let most = prometheus.query("increase(net_rx_bytes_total{device=\"/eth0\"}[10m]) < bool 200");
    assert_eq!(most.as_deref(), Some("1"));
    drop(prometheus);
    scraped.end();
}
