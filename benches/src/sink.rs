//! An OTLP peer on loopback that takes every request: a process of its own, so that what it costs is not the collector's.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric;
use tokio::runtime::Runtime;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

#[derive(Default)]
struct Sink {
    /// Points that came.
    taken: Arc<AtomicU64>,
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let points = points(request.get_ref());
        self.taken.fetch_add(points, Ordering::Relaxed);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Points of sums, which is what `load` makes, and all that a network has.
pub(crate) fn points(request: &ExportMetricsServiceRequest) -> u64 {
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|it| &it.scope_metrics);
    let metrics = scopes.flat_map(|it| &it.metrics);
    let points = metrics.map(|it| match &it.data {
        Some(metric::Data::Sum(sum)) => sum.data_points.len() as u64,
        _ => 0,
    });
    points.sum()
}

/// Serves in this process, on threads of its own, and counts the points that come.
pub(crate) fn serve(runtime: &Runtime, taken: Arc<AtomicU64>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    runtime.spawn(async move { served(listener, Sink { taken }).await });
    Ok(address)
}

/// Serves until it is killed; its address is its first line.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    served(listener, Sink::default()).await
}

async fn served(listener: TcpListener, sink: Sink) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?);
    let service = MetricsServiceServer::new(sink)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(usize::MAX);
    let served = Server::builder()
        .add_service(service)
        .serve_with_incoming(incoming);
    served.await.map_err(std::io::Error::other)
}
