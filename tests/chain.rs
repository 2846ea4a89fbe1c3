//! Chained with the real OpenTelemetry Collector: what a tree shows is what arrives there.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{collector, lacks, read_until, repository, run, signal, text};
use rustix::process::Signal;
use serde_json::Value;

/// A Collector that writes what it gets to a file.
struct Upstream {
    child: Child,
    grpc: u16,
    http: u16,
    directory: tempfile::TempDir,
}

impl Upstream {
    /// `None`, said on standard error, where it was not built.
    fn start(test: &str) -> Option<Upstream> {
        let binary =
            std::env::var_os("OTELCOL").map_or_else(|| repository(".tools/otelcol"), PathBuf::from);
        if !binary.is_file() {
            lacks(
                test,
                "the OpenTelemetry Collector: scripts/otelcol.sh builds it with Go",
            );
            return None;
        }
        let free = || {
            TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port()
        };
        let (grpc, http, directory) = (free(), free(), tempfile::tempdir().unwrap());
        let config = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{grpc}'}}, http: {{endpoint: '127.0.0.1:{http}'}}}}}}}}\n\
             exporters: {{file: {{path: {}/out.json}}}}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{metrics: {{receivers: [otlp], exporters: [file]}}}}}}\n",
            directory.path().display()
        );
        std::fs::write(directory.path().join("config.yaml"), config).unwrap();
        let mut command = Command::new(binary);
        command
            .arg("--config")
            .arg(directory.path().join("config.yaml"));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Everything is ready") {
            line.clear();
            assert!(
                told.read_line(&mut line).unwrap() > 0,
                "the Collector did not start"
            );
        }
        // Read on, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        Some(Upstream {
            child,
            grpc,
            http,
            directory,
        })
    }

    /// Ends it, and gives each request that it wrote.
    fn end(mut self) -> Vec<Value> {
        signal(&self.child, Signal::TERM);
        self.child.wait().unwrap();
        let written =
            std::fs::read_to_string(self.directory.path().join("out.json")).unwrap_or_default();
        written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Every point with all that belongs to it, as one line of JSON each, in the order in which they arrived.
fn points(requests: &[Value]) -> Vec<String> {
    let mut all = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for resource in requests
        .iter()
        .flat_map(|request| list(&request["resourceMetrics"]))
    {
        for scope in list(&resource["scopeMetrics"]) {
            for metric in list(&scope["metrics"]) {
                let (kind, data) = ["sum", "gauge"]
                    .iter()
                    .find_map(|kind| metric.get(kind).map(|data| (kind, data)))
                    .unwrap();
                for point in list(&data["dataPoints"]) {
                    let mut line = String::new();
                    write!(
                        line,
                        "{} {} {} {} ",
                        metric["name"], metric["unit"], metric["description"], kind
                    )
                    .unwrap();
                    write!(
                        line,
                        "{} {} ",
                        data["aggregationTemporality"], data["isMonotonic"]
                    )
                    .unwrap();
                    write!(
                        line,
                        "{} {} ",
                        sorted(&resource["resource"]["attributes"]),
                        scope["scope"]["name"]
                    )
                    .unwrap();
                    let (start, time) = (
                        point["startTimeUnixNano"].as_str().unwrap_or("0"),
                        point["timeUnixNano"].as_str().unwrap(),
                    );
                    write!(
                        line,
                        "{} int={} double={:?} start={start} time={time}",
                        sorted(&point["attributes"]),
                        point["asInt"],
                        point["asDouble"].as_f64()
                    )
                    .unwrap();
                    all.push(line);
                }
            }
        }
    }
    all
}

/// Says the first difference only: the lines are long, and many.
fn assert_same(arrived: &[String], sent: &[String]) {
    let differs = arrived
        .iter()
        .zip(sent)
        .find(|(arrived, sent)| arrived != sent);
    assert!(differs.is_none(), "{differs:#?}");
    assert_eq!(arrived.len(), sent.len());
}

fn sorted(attributes: &Value) -> String {
    let pairs = attributes.as_array().cloned().unwrap_or_default();
    let pairs: BTreeMap<_, _> = pairs
        .iter()
        .map(|it| (it["key"].to_string(), it["value"].to_string()))
        .collect();
    format!("{pairs:?}")
}

/// Both fixture trees, to the Collector and as JSON to standard output.
fn config(port: u16) -> String {
    let fixture = |path| {
        repository("tests/fixtures")
            .join(path)
            .display()
            .to_string()
    };
    format!(
        "receivers:\n  statsfs: {{root: {}}}\n  statsfs/kvm: {{root: {}}}\n\
         processors:\n  metadata: {{rules: [{{match: {{name: 'net/rx_bytes'}}, scale: 0.5}}]}}\n  batch:\n\
         exporters:\n  stdout: {{format: json}}\n  otlp: {{endpoint: '127.0.0.1:{port}', tls: {{insecure: true}}}}\n\
         service:\n  resource: {{rack: 12, site: lab}}\n  pipelines: {{metrics: {{receivers: [statsfs, statsfs/kvm], processors: [metadata, batch], exporters: [stdout, otlp]}}}}\n",
        fixture("net-statsfs/sys/kernel/stats"),
        fixture("kvm-statsfs-liiling/sys/kernel/statsfs")
    )
}

#[test]
fn every_series_arrives_equal_with_its_type_unit_start_and_resource() {
    let Some(upstream) =
        Upstream::start("every_series_arrives_equal_with_its_type_unit_start_and_resource")
    else {
        return;
    };
    let output = run(&config(upstream.grpc), &["--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let sent: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (mut sent, mut arrived) = (points(&sent), points(&upstream.end()));
    sent.sort();
    arrived.sort();
    assert_eq!(sent.len(), 72 + 114);
    assert_same(&arrived, &sent);
    let one = arrived
        .iter()
        .find(|line| line.starts_with("\"net/rx_bytes\"") && line.contains("/eth0"))
        .unwrap();
    for part in [
        "\"By\"",
        "sum 2 true",
        "host.name",
        "service.instance.id",
        "rack",
        "intValue",
        "\"receiver-statsfs\"",
        "double=Some(9.22337203685477",
    ] {
        assert!(one.contains(part), "{part}: {one}");
    }
}

#[test]
fn sweeps_arrive_in_order() {
    let Some(upstream) = Upstream::start("sweeps_arrive_in_order") else {
        return;
    };
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("s")).unwrap();
    let counter = tree.path().join("s/c");
    std::fs::write(&counter, "0\n").unwrap();
    let config = config(upstream.grpc).replace("{root: ", "{collection_interval: 20ms, root: ");
    let root = repository("tests/fixtures/net-statsfs/sys/kernel/stats")
        .display()
        .to_string();
    let mut child = collector(
        &config.replace(&root, &tree.path().display().to_string()),
        &[],
    );
    let mut sweeps = 0;
    read_until(&mut child, |line| {
        sweeps += usize::from(line.contains("\"s/c\""));
        // Replaced, as a writer that never shows half a number does it.
        std::fs::write(tree.path().join("next"), format!("{sweeps}\n")).unwrap();
        std::fs::rename(tree.path().join("next"), &counter).unwrap();
        sweeps == 40
    });
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let arrived = points(&upstream.end());
    let times = arrived
        .iter()
        .filter(|line| line.contains("\"s/c\""))
        .map(|line| line.rsplit_once("time=").unwrap().1.parse::<u64>().unwrap());
    let times: Vec<u64> = times.collect();
    assert!(
        times.len() >= 40 && times.is_sorted_by(|a, b| a < b),
        "{times:?}"
    );
}

#[test]
fn the_collector_reads_the_json_of_stdout() {
    let Some(upstream) = Upstream::start("the_collector_reads_the_json_of_stdout") else {
        return;
    };
    let only_stdout = config(1).replace("exporters: [stdout, otlp]", "exporters: [stdout]");
    let output = run(&only_stdout, &["--once"]);
    let mut sent = Vec::new();
    for line in text(&output.stdout).lines() {
        let mut http = TcpStream::connect(("127.0.0.1", upstream.http)).unwrap();
        write!(http, "POST /v1/metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{line}", line.len()).unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        sent.push(serde_json::from_str(line).unwrap());
    }
    let (mut sent, mut arrived) = (points(&sent), points(&upstream.end()));
    sent.sort();
    arrived.sort();
    assert_same(&arrived, &sent);
}
