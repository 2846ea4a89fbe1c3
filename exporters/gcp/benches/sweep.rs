//! How many series are sent in a CPU second, and the requests of a sweep: `cargo bench -p statsfs-collector-exporter-gcp`.
//! If the environment's `REFERENCE` names the program that scripts/gcp-reference.sh builds, Google's own exporter is measured too,
//! with the same fake, which runs in a process of its own and enforces the same rules as in the tests.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use exporter_gcp::{Config, Gcp};
use pipeline::{
    AnyValue, Attributes, Batch, Component, Exporter, Head, Kind, Metric, Scope, Series, Sweep,
    Table, Times, Value, now_unix_nano, testing,
};

const SERIES: usize = 10_000;
const METRICS: usize = 20;
const SWEEPS: u64 = 100;
const SECOND: u64 = 1_000_000_000;

fn main() {
    if std::env::args().any(|it| it == "--fake") {
        return serve();
    }
    for compression in ["none", "gzip"] {
        let (mut fake, address) = spawn_fake();
        let ours = measure(&address, compression);
        println!(
            "ours, {compression}: {ours:.0} series a CPU second; {}",
            finish(&mut fake)
        );
        if let Ok(reference) = std::env::var("REFERENCE") {
            let (mut fake, address) = spawn_fake();
            let (series, sweeps) = (SERIES.to_string(), SWEEPS.to_string());
            let finished = Command::new(reference)
                .args([&address, &series, &sweeps, compression])
                .output()
                .unwrap();
            let output = String::from_utf8(finished.stdout).unwrap();
            let theirs: f64 = output.split_whitespace().next().unwrap().parse().unwrap();
            println!(
                "reference, {compression}: {theirs:.0} series a CPU second; {}",
                finish(&mut fake)
            );
            println!("{:.1} times as many", ours / theirs);
        }
    }
}

/// Serves the fake until the standard input ends.
fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let fake = gcp_fake::Fake::new(now_unix_nano);
    // Descriptors exist already, so that both exporters send the same.
    fake.with(|it| {
        it.descriptors = (0..METRICS)
            .map(|it| descriptor(&format!("custom.googleapis.com/net/x{it}")))
            .collect();
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    runtime.spawn(gcp_fake::serve::listen(fake.clone(), listener, None));
    std::io::stdin().lines().for_each(drop);
    let accepted = fake.accepted_points();
    fake.with(|it| {
        println!(
            "{accepted} points accepted, {} rejected, {:.1} requests a sweep",
            it.violations.len(),
            it.requests.len() as f64 / (SWEEPS + 1) as f64
        );
    });
}

fn descriptor(
    name: &str,
) -> (
    String,
    googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor,
) {
    use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::{
        MetricKind, ValueType,
    };
    let descriptor = googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor {
        r#type: name.into(),
        metric_kind: MetricKind::Cumulative.into(),
        value_type: ValueType::Int64.into(),
        ..Default::default()
    };
    (name.into(), descriptor)
}

fn spawn_fake() -> (Child, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command
        .arg("--fake")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let address = read_line(&mut child);
    (child, address)
}

fn read_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    line.trim().to_owned()
}

fn finish(child: &mut Child) -> String {
    drop(child.stdin.take());
    let output = read_line(child);
    child.wait().unwrap();
    output
}

/// Sends this many sweeps of all series, ten seconds apart.
fn measure(address: &str, compression: &str) -> f64 {
    let yaml = format!(
        "{{project: p, detectors: [], metric: {{endpoint: '{address}', use_insecure: true, compression: {compression}, prefix: custom.googleapis.com, skip_create_descriptor: true}}}}"
    );
    let config = pipeline::config::decode::<Config>(&testing::node(&yaml))
        .unwrap()
        .value;
    let gcp = Gcp::build(config, &testing::context()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        gcp.start().await.unwrap();
        let (table, first) = (table(), now_unix_nano() - 24 * 3_600 * SECOND);
        let batches = |number: u64| {
            let values = vec![Value::Int(i64::try_from(number).unwrap()); SERIES];
            let starts = vec![first - SECOND; SERIES].into();
            let sweep = Sweep::new(number, Duration::from_secs(10), true);
            [Batch::new(
                Arc::clone(&table),
                starts,
                Times::One(first + number * 10 * SECOND),
                values,
                sweep,
            )]
        };
        gcp.export(&batches(0)).await.unwrap();
        let before = cpu_time();
        for number in 1..=SWEEPS {
            gcp.export(&batches(number)).await.unwrap();
        }
        (SERIES as u64 * SWEEPS) as f64 / cpu_time().saturating_sub(before).as_secs_f64()
    })
}

fn table() -> Arc<Table> {
    let resource = [
        ("service.name", "s"),
        ("service.instance.id", "i"),
        ("host.id", "h1"),
    ];
    let resource = Arc::new(Attributes::from_iter(resource));
    let head = Head::new(
        resource,
        Arc::new(Scope::new("receiver-test", "0.1.0")),
        "net".into(),
        "bench".into(),
    );
    let metrics: Vec<Arc<Metric>> = (0..METRICS)
        .map(|it| {
            let mut metric = Metric::default();
            (metric.name, metric.kind) = (format!("net/x{it}").into(), Kind::COUNTER);
            Arc::new(metric)
        })
        .collect();
    let series = (0..SERIES).map(|it| {
        let device: AnyValue = format!("d{}", it / METRICS).into();
        let labels = [
            ("device", device),
            ("queue", "0".into()),
            ("direction", "rx".into()),
        ];
        Series::of(
            Arc::clone(&metrics[it % METRICS]),
            Arc::new(Attributes::from_iter(labels)),
        )
    });
    Table::new(Arc::new(head), series.collect())
}

/// The CPU time of this process, in the kernel's ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|it| it.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}
