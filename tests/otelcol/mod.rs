//! Chained with the real OpenTelemetry Collector: what a tree shows is what arrives there.

pub(crate) mod points;
pub(crate) mod process;

use std::collections::BTreeSet;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::process::Signal;
use serde_json::Value;

pub(crate) use self::points::times;
use self::points::{assert_same, points};
use self::process::Otelcol;
use crate::common::alone::{CPU, alone};
use crate::common::peer::{INSECURE, assert_accounted, otlp_config};
use crate::common::{
    self, assert_fault, collector, count, lines_until, read_until, repository, run, signal, text,
};

/// Both fixture trees, to the Collector and as JSON to standard output.
fn config(otlp: SocketAddr) -> String {
    let fixture = |path| {
        repository("tests/fixtures")
            .join(path)
            .display()
            .to_string()
    };
    format!(
        "receivers:\n  statsfs: {{root: {}}}\n  statsfs/kvm: {{root: {}}}\n\
         processors:\n  metadata: {{rules: [{{match: {{name: 'net/rx_bytes'}}, scale: 0.5}}]}}\n  batch:\n\
         exporters:\n  stdout: {{format: json}}\n  otlp: {{endpoint: '{otlp}', tls: {{insecure: true}}}}\n\
         service:\n  resource: {{rack: 12, site: lab}}\n  pipelines: {{metrics: {{receivers: [statsfs, statsfs/kvm], processors: [metadata, batch], exporters: [stdout, otlp]}}}}\n",
        fixture("net-statsfs/sys/kernel/stats"),
        fixture("kvm-statsfs-liiling/sys/kernel/statsfs")
    )
}

#[test]
fn every_series_arrives_equal_with_its_type_unit_start_and_resource() {
    let Some(otelcol) =
        Otelcol::start("every_series_arrives_equal_with_its_type_unit_start_and_resource")
    else {
        return;
    };
    let output = run(&config(otelcol.grpc), &["--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let sent: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (mut sent, mut arrived) = (points(&sent), points(&otelcol.end()));
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
        "\"statsfs-collector-receiver-statsfs\"",
        "double=Some(9.22337203685477",
    ] {
        assert!(one.contains(part), "{part}: {one}");
    }
}

#[test]
fn sweeps_arrive_in_order() {
    let Some(otelcol) = Otelcol::start("sweeps_arrive_in_order") else {
        return;
    };
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("s")).unwrap();
    let counter = tree.path().join("s/c");
    std::fs::write(&counter, "0\n").unwrap();
    let config = config(otelcol.grpc).replace("{root: ", "{collection_interval: 20ms, root: ");
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
    let arrived = points(&otelcol.end());
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
    let Some(otelcol) = Otelcol::start("the_collector_reads_the_json_of_stdout") else {
        return;
    };
    let only_stdout =
        config(otelcol.grpc).replace("exporters: [stdout, otlp]", "exporters: [stdout]");
    let output = run(&only_stdout, &["--once"]);
    let mut sent = Vec::new();
    for line in text(&output.stdout).lines() {
        let mut http = TcpStream::connect(otelcol.http).unwrap();
        write!(http, "POST /v1/metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{line}", line.len()).unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        sent.push(serde_json::from_str(line).unwrap());
    }
    let (mut sent, mut arrived) = (points(&sent), points(&otelcol.end()));
    sent.sort();
    arrived.sort();
    assert_same(&arrived, &sent);
}

#[test]
fn a_collector_that_comes_is_killed_comes_again_and_hangs_gets_every_sweep_in_order() {
    let test = "a_collector_that_comes_is_killed_comes_again_and_hangs_gets_every_sweep_in_order";
    let Some(mut otelcol) = Otelcol::stopped(test, "") else {
        return;
    };
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("s")).unwrap();
    std::fs::write(tree.path().join("s/c"), "1\n").unwrap();
    let receiver = format!(
        "{{collection_interval: 20ms, root: {}}}",
        tree.path().display()
    );
    let address = otelcol.grpc.to_string();
    let more = format!("{INSECURE}, timeout: 300ms, sending_queue: {{queue_size: 1000000}}");
    let mut child = collector(&otlp_config(&receiver, &address, &more), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let fails = |line: &str| line.contains("sending fails and is tried again");
    let works = |line: &str| line.contains("sending works again");
    lines_until(&mut stderr, fails);
    otelcol.run();
    lines_until(&mut stderr, works);
    otelcol.stop(Signal::KILL);
    lines_until(&mut stderr, fails);
    otelcol.run();
    lines_until(&mut stderr, works);
    otelcol.signal(Signal::STOP);
    let lines = lines_until(&mut stderr, fails);
    assert!(
        lines.last().unwrap().contains("no answer within 300ms"),
        "{lines:?}"
    );
    otelcol.signal(Signal::CONT);
    lines_until(&mut stderr, works);
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    let arrived = times(&otelcol.end());
    // What was taken and not acknowledged comes again: what counts is when a sweep came first.
    let mut seen = BTreeSet::new();
    let first: Vec<u64> = arrived.into_iter().filter(|it| seen.insert(*it)).collect();
    assert!(first.is_sorted(), "{first:?}");
    let sent = count(&rest, "points_sent");
    assert_eq!(first.len() as u64, sent, "each sweep: {rest}");
    assert_eq!(count(&rest, "points_read"), sent, "{rest}");
    assert_accounted(&rest);
    assert_fault(
        "the upstream Collector is not there at the start, is killed, comes again, and hangs",
        "nothing that the queue holds, and it arrives in order",
        &rest,
        &[],
    );
}

#[test]
fn a_collector_that_takes_one_mebibyte_gets_more_in_parts() {
    // 40,000 files load the cores.
    let _cpu = alone(&CPU);
    let test = "a_collector_that_takes_one_mebibyte_gets_more_in_parts";
    let tree = tempfile::tempdir().unwrap();
    let count = 40_000;
    for file in 0..count {
        let device = tree.path().join(format!("s/device-{:03}", file / 200));
        if file % 200 == 0 {
            std::fs::create_dir_all(&device).unwrap();
        }
        std::fs::write(device.join(format!("metric_{:03}", file % 200)), "1\n").unwrap();
    }
    let receiver = format!("{{root: {}}}", tree.path().display());
    // grpc-go holds the bytes that come in against its limit, and those that it makes of them.
    for compression in ["none", "gzip", "zstd"] {
        let Some(mut otelcol) = Otelcol::stopped(test, "max_recv_msg_size_mib: 1") else {
            return;
        };
        otelcol.run();
        let address = otelcol.grpc.to_string();
        let more = format!("{INSECURE}, compression: {compression}, timeout: 1m");
        let config = otlp_config(&receiver, &address, &more)
            .replace("batch: {}", "batch: {send_batch_size: 100000, timeout: 1m}")
            .replace("service:\n", "service:\n  shutdown_timeout: 1m\n");
        let output = run(&config, &["--once"]);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let warnings = stderr.matches("larger than the peer takes").count();
        assert_eq!(warnings, 1, "{stderr}");
        assert!(stderr.contains("limit=1048576"), "{stderr}");
        assert_eq!(common::count(&stderr, "points_sent"), count, "{stderr}");
        let arrived = points(&otelcol.end());
        let series: BTreeSet<&String> = arrived.iter().collect();
        assert_eq!(series.len() as u64, count, "each once");
        assert_eq!(arrived.len() as u64, count, "none twice");
        assert_accounted(&stderr);
    }
}
