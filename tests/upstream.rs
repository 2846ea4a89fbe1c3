//! An upstream that fails in every way that gRPC has: what could be kept arrives, in order, and the rest is counted.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{collector, lines_until, repository, run, signal, text};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use rustix::process::Signal;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What the peer does with a request; it takes those for which nothing is said.
#[derive(Clone)]
enum Answer {
    Refuse(Code, Option<Duration>),
    Partial(i64, &'static str),
    /// Takes it, and never says so.
    Hang,
}

#[derive(Clone, Default)]
struct Peer {
    script: Arc<Mutex<VecDeque<Answer>>>,
    got: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    headers: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl MetricsService for Peer {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let header = |name: &str| {
            request
                .metadata()
                .get(name)
                .map(|it| it.to_str().unwrap().to_owned())
        };
        let encoding = header("grpc-encoding").unwrap_or_else(|| "identity".into());
        self.headers.lock().unwrap().push(format!(
            "{encoding} {}",
            header("x-token").unwrap_or_default()
        ));
        let answer = self.script.lock().unwrap().pop_front();
        let mut response = ExportMetricsServiceResponse::default();
        match answer {
            Some(Answer::Refuse(code, None)) => {
                return Err(Status::new(code, "as the test has it"));
            }
            Some(Answer::Refuse(code, delay)) => {
                return Err(Status::with_error_details(
                    code,
                    "as the test has it",
                    ErrorDetails::with_retry_info(delay),
                ));
            }
            Some(Answer::Partial(rejected_data_points, message)) => {
                response.partial_success = Some(ExportMetricsPartialSuccess {
                    rejected_data_points,
                    error_message: message.into(),
                });
            }
            Some(Answer::Hang) => std::future::pending().await,
            None => {}
        }
        self.got.lock().unwrap().push(request.into_inner());
        Ok(Response::new(response))
    }
}

impl Peer {
    fn with(script: impl IntoIterator<Item = Answer>) -> Peer {
        Peer {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            ..Peer::default()
        }
    }

    /// Serves on this address until what this gives is dropped, with all connections.
    fn serve(&self, address: SocketAddr, tls: Option<ServerTlsConfig>, zstd: bool) -> Serving {
        let mut service =
            MetricsServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip);
        if zstd {
            service = service.accept_compressed(CompressionEncoding::Zstd);
        }
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        // It listens when this returns: the socket is made here.
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let guard = runtime.enter();
        let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
        runtime.spawn(async move {
            server
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        drop(guard);
        Serving(Some(runtime))
    }

    /// The values of `s/c`, in the order in which they came.
    fn values(&self) -> Vec<i64> {
        let got = self.got.lock().unwrap();
        let metrics = got
            .iter()
            .flat_map(|it| &it.resource_metrics)
            .flat_map(|it| &it.scope_metrics)
            .flat_map(|it| &it.metrics);
        let points = metrics
            .filter(|it| it.name == "s/c")
            .flat_map(|it| match &it.data {
                Some(metric::Data::Gauge(gauge)) => gauge.data_points.clone(),
                _ => panic!("a gauge"),
            });
        points
            .map(|point| {
                if let Some(number_data_point::Value::AsInt(it)) = point.value {
                    it
                } else {
                    panic!("an integer")
                }
            })
            .collect()
    }
}

/// A server that runs; dropped, it is gone with all its connections.
struct Serving(Option<tokio::runtime::Runtime>);

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn net() -> String {
    format!(
        "{{root: {}}}",
        repository("tests/fixtures/net-statsfs/sys/kernel/stats").display()
    )
}

/// A receiver to an upstream; `more` are further keys of the exporter.
fn to(receiver: &str, endpoint: &str, more: &str) -> String {
    common::config(receiver, "batch: {}", "{}")
        .replace("stdout: {}", &format!("otlp: {{endpoint: '{endpoint}', retry_on_failure: {{initial_interval: 5ms, max_interval: 20ms, max_elapsed_time: 1m}}, {more}}}"))
        .replace("[stdout]", "[otlp]")
}

const PLAIN: &str = "tls: {insecure: true}";

fn count(told: &str, pattern: &str) -> u64 {
    common::find_count(told, pattern).unwrap_or_default()
}

/// handed = sent + rejected + dropped + queued, where nothing is filtered.
fn assert_accounted(told: &str) {
    let [handed, sent, rejected, dropped, queued] = [
        " points_handed=",
        " points_sent=",
        " points_rejected=",
        " points_dropped=",
        " points_queued=",
    ]
    .map(|name| count(told, name));
    assert_eq!(handed, sent + rejected + dropped + queued, "{told}");
}

#[test]
fn each_code_is_retried_or_not_as_otlp_has_it() {
    for code in (1..=16).map(Code::from) {
        for info in [None, Some(Duration::from_millis(1))] {
            let (peer, address) = (Peer::with([Answer::Refuse(code, info)]), free());
            let server = peer.serve(address, None, true);
            let output = run(&to(&net(), &address.to_string(), PLAIN), &["--once"]);
            drop(server);
            let told = text(&output.stderr);
            let otlp = [
                Code::Cancelled,
                Code::DeadlineExceeded,
                Code::Aborted,
                Code::OutOfRange,
                Code::Unavailable,
                Code::DataLoss,
            ];
            // UNIMPLEMENTED to zstd is answered with gzip, which this peer takes.
            let retried = otlp.contains(&code)
                || code == Code::Unimplemented
                || (code == Code::ResourceExhausted && info.is_some());
            let arrived = peer.got.lock().unwrap().len();
            assert_eq!(
                (arrived, output.status.code()),
                if retried { (1, Some(0)) } else { (0, Some(1)) },
                "{code:?} {info:?}: {told}"
            );
            assert_eq!(
                (count(&told, " points_sent="), count(&told, "permanent=")),
                if retried { (72, 0) } else { (0, 72) },
                "{code:?} {info:?}: {told}"
            );
            assert_accounted(&told);
        }
    }
}

#[test]
fn what_the_peer_refuses_of_a_request_is_rejected_not_sent() {
    let (peer, address) = (Peer::with([Answer::Partial(5, "five too many")]), free());
    let _server = peer.serve(address, None, true);
    let told = text(&run(&to(&net(), &address.to_string(), PLAIN), &["--once"]).stderr);
    assert_eq!(
        (
            count(&told, " points_sent="),
            count(&told, " points_rejected=")
        ),
        (67, 5),
        "{told}"
    );
    assert_eq!(told.matches("five too many").count(), 1, "{told}");
    assert_accounted(&told);
}

#[test]
fn a_peer_that_does_not_answer_is_asked_again() {
    let (peer, address) = (Peer::with([Answer::Hang]), free());
    let _server = peer.serve(address, None, true);
    let output = run(
        &to(
            &net(),
            &address.to_string(),
            &format!("{PLAIN}, timeout: 100ms"),
        ),
        &["--once"],
    );
    let told = text(&output.stderr);
    assert!(
        output.status.success() && told.contains("no answer within 100ms"),
        "{told}"
    );
    assert_eq!(
        (
            peer.got.lock().unwrap().len(),
            count(&told, " points_sent=")
        ),
        (1, 72)
    );
}

#[test]
fn a_peer_without_zstd_gets_gzip_and_that_is_said_once() {
    let (peer, address) = (Peer::default(), free());
    let _server = peer.serve(address, None, false);
    let receivers = net().replace("{root", "{collection_interval: 10ms, root");
    let mut child = collector(
        &to(
            &receivers,
            &address.to_string(),
            &format!("{PLAIN}, headers: {{x-token: hush}}"),
        ),
        &[],
    );
    while peer.got.lock().unwrap().len() < 5 {
        std::thread::yield_now();
    }
    signal(&child, Signal::TERM);
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(told.matches("does not know zstd").count(), 1, "{told}");
    assert!(!told.contains("hush"), "{told}");
    assert!(
        peer.headers
            .lock()
            .unwrap()
            .iter()
            .all(|it| it == "gzip hush"),
        "{:?}",
        peer.headers
    );
}

#[test]
fn a_peer_that_comes_and_goes_gets_every_sweep_once_and_in_order() {
    let (peer, address) = (Peer::default(), free());
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("s")).unwrap();
    let show = |value: usize| {
        std::fs::write(tree.path().join("next"), format!("{value}\n")).unwrap();
        std::fs::rename(tree.path().join("next"), tree.path().join("s/c")).unwrap();
    };
    show(0);
    let receiver = format!(
        "{{collection_interval: 5ms, root: {}}}",
        tree.path().display()
    );
    let mut child = collector(&to(&receiver, &address.to_string(), PLAIN), &[]);
    let mut told = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut told, |line| {
        line.contains("sending fails and is tried again")
    });
    let mut value = 0;
    for _ in 0..3 {
        let server = peer.serve(address, None, true);
        let before = peer.values().len();
        while peer.values().len() < before + 20 {
            value += 1;
            show(value);
        }
        drop(server);
        lines_until(&mut told, |line| {
            line.contains("sending fails and is tried again")
        });
    }
    let server = peer.serve(address, None, true);
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    drop(server);
    let values = peer.values();
    assert!(values.is_sorted(), "in order: {values:?}");
    // A request that was taken but not acknowledged, as the peer went, is sent again: at least once, by what is counted.
    let sent = usize::try_from(count(&rest, " points_sent=")).unwrap();
    assert!(
        values.len() >= sent && values.len() <= sent + 3,
        "{} {rest}",
        values.len()
    );
    assert_eq!(count(&rest, " points_dropped="), 0, "{rest}");
    assert_accounted(&rest);
}

#[test]
fn a_full_queue_drops_the_newest_and_counts_them() {
    let address = free();
    let receiver = net().replace("{root", "{collection_interval: 5ms, root");
    let config = to(
        &receiver,
        &address.to_string(),
        &format!("{PLAIN}, sending_queue: {{queue_size: 3}}"),
    )
    .replace("service:\n", "service:\n  shutdown_timeout: 100ms\n");
    let mut child = collector(&config, &[]);
    let mut told = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut told, |line| line.contains("the sending queue is full"));
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(count(&rest, "shutdown="), 3 * 72, "{rest}");
    assert!(count(&rest, "queue_full=") >= 72, "{rest}");
    assert_accounted(&rest);
}

#[test]
fn after_max_elapsed_time_a_request_is_given_up_and_counted() {
    let config = to(&net(), &free().to_string(), PLAIN).replace(
        "max_interval: 20ms, max_elapsed_time: 1m",
        "max_interval: 20ms, max_elapsed_time: 50ms",
    );
    let output = run(&config, &["--once"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(count(&told, "max_elapsed_time="), 72, "{told}");
    assert_accounted(&told);
}

/// Certificates of an authority made for the test.
struct Authority(rcgen::Issuer<'static, rcgen::KeyPair>, String);

impl Authority {
    fn new(name: &str) -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Authority(rcgen::Issuer::new(parameters, key), pem)
    }

    /// Certificate and key for a name; one that has expired long ago, or not.
    fn issue(&self, name: &str, expired: bool) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        (
            parameters.signed_by(&key, &self.0).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

#[test]
fn tls_takes_whom_it_should_and_says_in_one_line_why_not() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (ca, other_ca) = (write("ca.pem", &ours.1), write("other.pem", &other.1));
    let (cert, key) = ours.issue("client", false);
    let (cert, key) = (write("cert.pem", &cert), write("key.pem", &key));
    let client = format!("cert_file: {cert}, key_file: {key}");
    let good = format!("tls: {{ca_file: {ca}, {client}}}");
    // Server's name, expired or not; the exporter's settings; what is said where it does not work.
    let cases = [
        ("localhost", false, good.clone(), None),
        (
            "another",
            false,
            format!("tls: {{ca_file: {ca}, {client}, server_name_override: another}}"),
            None,
        ),
        (
            "localhost",
            false,
            format!("tls: {{ca_file: {other_ca}, {client}}}"),
            Some("UnknownIssuer"),
        ),
        ("localhost", true, good.clone(), Some("xpired")),
        ("another", false, good.clone(), Some("not valid for name")),
        (
            "localhost",
            false,
            format!("tls: {{ca_file: {ca}}}"),
            Some(""),
        ),
        (
            "localhost",
            false,
            "tls: {insecure: true}".into(),
            Some("transport error"),
        ),
    ];
    for (name, expired, settings, wrong) in cases {
        let (peer, address) = (Peer::default(), free());
        let (cert, key) = ours.issue(name, expired);
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(cert, key))
            .client_ca_root(Certificate::from_pem(&ours.1));
        let server = peer.serve(address, Some(tls), true);
        let endpoint = format!("localhost:{}", address.port());
        // Where it works, it may take its time on a busy machine.
        let patience = if wrong.is_some() { "500ms" } else { "1m" };
        let timeout = format!("service:\n  shutdown_timeout: {patience}\n");
        let config = to(&net(), &endpoint, &settings).replace("service:\n", &timeout);
        let output = run(&config, &["--once"]);
        drop(server);
        let told = text(&output.stderr);
        assert_eq!(
            output.status.success(),
            wrong.is_none(),
            "{name} {settings}: {told}"
        );
        if let Some(wrong) = wrong {
            let lines: Vec<_> = told
                .lines()
                .filter(|line| line.contains("sending fails"))
                .collect();
            assert!(
                lines.len() == 1 && lines[0].contains(wrong),
                "{name} {settings}: {told}"
            );
        }
        assert_accounted(&told);
    }
    // Plain text against nobody's TLS: the other way round.
    let (peer, address) = (Peer::default(), free());
    let _server = peer.serve(address, None, true);
    let config = to(&net(), &address.to_string(), &good)
        .replace("service:\n", "service:\n  shutdown_timeout: 500ms\n");
    let told = text(&run(&config, &["--once"]).stderr);
    assert_eq!(
        told.matches("does the peer speak plain text").count(),
        1,
        "{told}"
    );
}

#[test]
fn the_first_signal_during_the_drain_of_once_is_not_the_second() {
    let (peer, address) = (Peer::default(), free());
    let config = to(&net(), &address.to_string(), PLAIN)
        .replace("service:\n", "service:\n  shutdown_timeout: 1m\n");
    let mut child = collector(&config, &["--once"]);
    let mut told = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut told, |line| line.contains("sending fails"));
    signal(&child, Signal::INT);
    let _server = peer.serve(address, None, true);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(peer.got.lock().unwrap().len(), 1);
}
