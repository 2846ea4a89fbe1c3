//! An upstream as a test has it: an OTLP server that fails as its answers say, and the configuration that sends to it.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::common::{self, count, repository};

/// What the peer does with a request; it takes those for which it has no answer.
#[derive(Clone)]
pub(crate) enum Answer {
    Accept,
    Refuse(Code, Option<Duration>),
    Partial(i64, &'static str),
    /// Refuses it with this text.
    Say(Code, String),
    /// Takes it, with a message of so many bytes.
    Ramble(usize),
    /// Takes it, and never says so.
    Hang,
}

#[derive(Clone, Default)]
pub(crate) struct Peer {
    pub(crate) answers: Arc<Mutex<VecDeque<Answer>>>,
    pub(crate) received: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    pub(crate) headers: Arc<Mutex<Vec<String>>>,
    /// Bytes of a message at the most.
    pub(crate) limit: Option<usize>,
    /// It refuses for good what has a metric of this name in it.
    pub(crate) refuses: Option<&'static str>,
    /// Its answers are compressed.
    pub(crate) compresses: bool,
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
        let answer = self.answers.lock().unwrap().pop_front();
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
            Some(Answer::Say(code, text)) => return Err(Status::new(code, text)),
            Some(Answer::Ramble(bytes)) => {
                response.partial_success = Some(ExportMetricsPartialSuccess {
                    rejected_data_points: 0,
                    error_message: "é".repeat(bytes / 2),
                });
            }
            Some(Answer::Hang) => std::future::pending().await,
            Some(Answer::Accept) | None => {}
        }
        let request = request.into_inner();
        if metrics(&request).any(|it| Some(&*it.name) == self.refuses) {
            return Err(Status::invalid_argument("a name that is none"));
        }
        self.received.lock().unwrap().push(request);
        Ok(Response::new(response))
    }
}

impl Peer {
    pub(crate) fn with(answers: impl IntoIterator<Item = Answer>) -> Peer {
        Peer {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            ..Peer::default()
        }
    }

    /// Serves on this address until what this gives is dropped, with all connections.
    pub(crate) fn serve(
        &self,
        address: SocketAddr,
        tls: Option<ServerTlsConfig>,
        zstd: bool,
    ) -> Serving {
        let mut service =
            MetricsServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip);
        if zstd {
            service = service.accept_compressed(CompressionEncoding::Zstd);
        }
        if self.compresses {
            service = service.send_compressed(CompressionEncoding::Gzip);
        }
        if let Some(limit) = self.limit {
            service = service.max_decoding_message_size(limit);
        }
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        // It listens when this returns: the socket is made here.
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
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
        Serving {
            address,
            runtime: Some(runtime),
        }
    }

    /// The values of `s/c`, in the order in which they came.
    pub(crate) fn values(&self) -> Vec<i64> {
        let got = self.received.lock().unwrap();
        let metrics = got.iter().flat_map(metrics);
        let points = metrics
            .filter(|it| it.name == "s/c")
            .flat_map(|it| match &it.data {
                Some(metric::Data::Gauge(gauge)) => gauge.data_points.clone(),
                Some(metric::Data::Sum(sum)) => sum.data_points.clone(),
                _ => panic!("a number"),
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

fn metrics(request: &ExportMetricsServiceRequest) -> impl Iterator<Item = &Metric> {
    let resources = request.resource_metrics.iter();
    let scopes = resources.flat_map(|it| &it.scope_metrics);
    scopes.flat_map(|it| &it.metrics)
}

/// A server that runs; dropped, it is gone with all its connections.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

pub(crate) fn net_receiver() -> String {
    format!(
        "{{root: {}}}",
        repository("tests/fixtures/net-statsfs/sys/kernel/stats").display()
    )
}

/// A receiver to an upstream; `more` are further keys of the exporter.
pub(crate) fn otlp_config(receiver: &str, endpoint: &str, more: &str) -> String {
    common::config(receiver, "batch: {}", "{}")
        .replace("stdout: {}", &format!("otlp: {{endpoint: '{endpoint}', retry_on_failure: {{initial_interval: 5ms, max_interval: 20ms, max_elapsed_time: 1m}}, {more}}}"))
        .replace("[stdout]", "[otlp]")
}

/// Requests that wait are not sent together.
pub(crate) const EACH_BY_ITSELF: &str = "sending_queue: {batch: {min_size: 0}}";

pub(crate) const INSECURE: &str = "tls: {insecure: true}";

/// handed = sent + rejected + dropped + queued, where nothing is filtered.
pub(crate) fn assert_accounted(logs: &str) {
    let [handed, sent, rejected, dropped, queued] = [
        "points_handed",
        "points_sent",
        "points_rejected",
        "points_dropped",
        "points_queued",
    ]
    .map(|name| count(logs, name));
    assert_eq!(handed, sent + rejected + dropped + queued, "{logs}");
}
