//! Some million names that never come again, through every processor and exporter: what is known of a table dies with it.
//!
//! Each component runs in a process of its own, whose allocator counts the bytes that are in use.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(unsafe_code)] // an allocator is

use std::alloc::{GlobalAlloc, Layout, System};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use exporter_gcp::Gcp;
use exporter_otlp::Otlp;
use exporter_prometheus::Prometheus;
use exporter_stdout::Stdout;
use pipeline::config::decode;
use pipeline::telemetry::Counters;
use pipeline::testing::{batch_of_its_own, context, node, processor};
use pipeline::{Batch, Component, Exporter, Outbox};
use processor_aggregate::Aggregate;
use processor_batch::BatchProcessor;
use processor_labels::Labels;
use processor_metadata::Metadata;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(block, layout) }
    }
}

/// Tables, and names in each: a million for each component where they are optimized, in half a minute; nearly a million for
/// all of them where they are not.
const TABLES: u64 = if cfg!(debug_assertions) {
    2_000
} else {
    10_000
};
const NAMES: u64 = 100;

/// The memory of the first ten thousand names is what it may be at the end.
const FIRST: u64 = 100;

/// Beside a fifth of that: what comes and goes.
const SLACK: usize = 4 << 20;

/// What is in use when the first names have come and gone, and at the end.
struct Memory {
    /// Bytes in use after the first names.
    first: usize,
}

impl Memory {
    /// To be told before each table.
    fn look(&mut self, number: u64) {
        if number == FIRST {
            self.first = IN_USE.load(Ordering::Relaxed);
        }
    }

    fn assert_bounded(&self, case: &str) {
        let (first, last) = (self.first, IN_USE.load(Ordering::Relaxed));
        assert!(
            last <= first + first / 5 + SLACK,
            "{case}: {first} bytes after the first names, {last} at the end"
        );
        eprintln!("{case}: {first} bytes after the first names, {last} at the end");
    }
}

fn process<T: Component>(case: &str, yaml: &str) {
    let mut stage = processor::<T>(yaml);
    let mut out = Outbox::new(Counters::new("test"));
    let mut memory = Memory { first: 0 };
    let mut points = 0;
    for number in 0..TABLES {
        memory.look(number);
        stage
            .process(batch_of_its_own(number, NAMES), &mut out)
            .unwrap();
        points += out.take().concat().iter().map(Batch::points).sum::<usize>();
    }
    // What it holds back is not what it knows.
    stage.flush(&mut out).unwrap();
    points += out.take().concat().iter().map(Batch::points).sum::<usize>();
    assert_eq!(points as u64, TABLES * NAMES, "{case}");
    memory.assert_bounded(case);
}

/// Sends each table with one that stays, and tells the time of each.
async fn export(case: &str, exporter: &dyn Exporter, time: &AtomicU64) {
    if case != "prometheus" {
        // That one would listen.
        exporter.start().await.unwrap();
    }
    let lasting = batch_of_its_own(TABLES, 1);
    let mut memory = Memory { first: 0 };
    for number in 0..TABLES {
        memory.look(number);
        let batch = batch_of_its_own(number, NAMES);
        time.store(batch.time_unix_nano(0), Ordering::Relaxed);
        exporter.export(&[batch]).await.unwrap();
        if case == "stdout prometheus" {
            // What comes again makes the exposition of what came before it.
            exporter
                .export(std::slice::from_ref(&lasting))
                .await
                .unwrap();
        }
    }
    memory.assert_bounded(case);
}

/// A server that takes everything and remembers nothing: what it answers is the message without fields.
#[derive(Clone)]
struct Sink<const IS_GCP: bool>;

impl NamedService for Sink<false> {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

impl NamedService for Sink<true> {
    const NAME: &'static str = "google.monitoring.v3.MetricService";
}

impl<const IS_GCP: bool> UnaryService<()> for Sink<IS_GCP> {
    type Response = ();
    type Future = std::future::Ready<Result<Response<()>, Status>>;

    fn call(&mut self, _: Request<()>) -> Self::Future {
        std::future::ready(Ok(Response::new(())))
    }
}

impl<const IS_GCP: bool> Service<http::Request<Body>> for Sink<IS_GCP> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let sink = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<(), ()>::default());
            Ok(grpc.unary(sink, request).await)
        })
    }
}

/// Within a runtime.
fn serve() -> SocketAddr {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .add_service(Sink::<false>)
        .add_service(Sink::<true>);
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

async fn run_exporter(case: &str) {
    let time = Arc::new(AtomicU64::new(0));
    if let Some(format) = case.strip_prefix("stdout ") {
        let config = node(&format!("{{format: {format}}}"));
        let stdout = Stdout::build(decode(&config).unwrap().value, &context()).unwrap();
        return export(case, &stdout, &time).await;
    }
    if case == "prometheus" {
        let prometheus = Prometheus::build(decode(&node("{}")).unwrap().value, &context()).unwrap();
        return export(case, &prometheus, &time).await;
    }
    let address = serve();
    if case == "otlp" {
        let config = node(&format!(
            "{{endpoint: 'http://{address}', compression: none}}"
        ));
        let otlp = Otlp::build(decode(&config).unwrap().value, &context()).unwrap();
        return export(case, &otlp, &time).await;
    }
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let config =
        node("{project: p, detectors: [], metric: {prefix: a.b, skip_create_descriptor: true}}");
    let config = decode(&config).unwrap().value;
    let now = Arc::clone(&time);
    let now = Arc::new(move || now.load(Ordering::Relaxed));
    let gcp = Gcp::with_channel(config, &context(), endpoint.connect_lazy(), now);
    export(case, &gcp, &time).await;
}

const CASES: [&str; 10] = [
    "gcp",
    "prometheus",
    "otlp",
    "aggregate",
    "metadata",
    "labels",
    "stdout prometheus",
    "stdout text",
    "stdout json",
    "batch",
];

fn run(case: &str) {
    match case {
        "labels" => process::<Labels>(case, "{actions: [{rename: {label: device, to: dev}}]}"),
        "metadata" => process::<Metadata>(case, "{rules: [{kind: counter, scale: 2}]}"),
        "aggregate" => process::<Aggregate>(
            case,
            "{carry: 1m, rules: [{without: [device], function: sum}]}",
        ),
        "batch" => {
            process::<BatchProcessor>(case, "{send_batch_size: 30, send_batch_max_size: 30}");
        }
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(run_exporter(case));
        }
    }
}

/// Set where this is one of the processes.
const CASE: &str = "FORGOTTEN_TABLES_CASE";

fn main() -> ExitCode {
    if let Ok(case) = std::env::var(CASE) {
        run(&case);
        return ExitCode::SUCCESS;
    }
    let run_all = |cases: &[&str]| {
        let fails = |case: &&&str| {
            let mut program = Command::new(std::env::current_exe().unwrap());
            let program = program.env(CASE, case).stdout(Stdio::null());
            let started = std::time::Instant::now();
            let ok = program.status().unwrap().success();
            eprintln!("{case} took {:?}", started.elapsed());
            !ok
        };
        cases.iter().filter(fails).count()
    };
    // Two at a time.
    let (odd, even): (Vec<_>, Vec<_>) = CASES.iter().enumerate().partition(|(at, _)| at % 2 == 1);
    let names = |cases: Vec<(usize, &&'static str)>| -> Vec<&'static str> {
        cases.into_iter().map(|(_, case)| *case).collect()
    };
    let (odd, even) = (names(odd), names(even));
    let failed = std::thread::scope(|scope| {
        let other = scope.spawn(|| run_all(&odd));
        run_all(&even) + other.join().unwrap()
    });
    assert_eq!(failed, 0, "see above");
    println!("names that come once ... are forgotten");
    ExitCode::SUCCESS
}
