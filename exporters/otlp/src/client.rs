//! Sends a message, as compressed as the peer takes it.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use pipeline::opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use pipeline_grpc::{BytesCodec, Compression, Connection, MAX_ANSWER_BYTES, TlsClient};
use tokio::sync::RwLock;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};

use crate::compression::{Steps, is_suspect};

/// For how long a connection may be in the making, TLS included: then another one is made. An attempt that is over does
/// not end it, and all others would wait for it.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

type Answer = Result<Response<ExportMetricsServiceResponse>, Status>;

#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    tls: Option<TlsClient>,
    /// Made at the start: a connection needs the runtime.
    connection: OnceLock<Connection>,
    headers: MetadataMap,
    /// Held for writing by a message that finds out what the peer takes: some peers close the connection at what they do
    /// not know, with all other messages on it.
    steps: RwLock<Steps>,
}

impl Client {
    pub(crate) fn new(
        endpoint: Endpoint,
        tls: Option<TlsClient>,
        headers: MetadataMap,
        steps: Steps,
    ) -> Client {
        Client {
            endpoint,
            tls,
            connection: OnceLock::new(),
            headers,
            steps: RwLock::new(steps),
        }
    }

    /// Made when it is first needed: a peer that is not there yet is no reason not to start.
    pub(crate) fn connection(&self) -> &Connection {
        let lazily = || Connection::lazy(&self.endpoint, self.tls.clone(), CONNECT);
        self.connection.get_or_init(lazily)
    }

    /// Sends a message once, and again with less compression where its failure may be for that.
    pub(crate) async fn send(&self, parts: Vec<Bytes>) -> Answer {
        let connection = self.connection();
        let mut is_in_doubt = false;
        loop {
            let steps = self.steps.read().await;
            let number = connection.number();
            if steps.is_settled(number) && !is_in_doubt {
                let answer = self.attempt(parts.clone(), steps.compression()).await;
                match &answer {
                    // Another connection has another peer, and behind one connection there may be several.
                    Err(status) if is_suspect(status, connection) => {
                        is_in_doubt =
                            connection.number() != number || steps.is_disowned(status.metadata());
                    }
                    _ => {}
                }
                if !is_in_doubt {
                    return answer;
                }
            }
            drop(steps);
            let mut steps = self.steps.write().await;
            // Others may have found out meanwhile.
            if is_in_doubt || !steps.is_settled(connection.number()) {
                return self.probe(parts, &mut steps).await;
            }
        }
    }

    /// Sends a message, step by step with less compression, until the peer takes it or it fails for another reason. What
    /// fails without compression too is judged by that: nothing else can be the reason then.
    async fn probe(&self, parts: Vec<Bytes>, steps: &mut Steps) -> Answer {
        let connection = self.connection();
        steps.restart();
        loop {
            let number = connection.number();
            let answer = self.attempt(parts.clone(), steps.compression()).await;
            match &answer {
                Ok(response) => {
                    let over = (connection.number() == number).then_some(number);
                    steps.accept(over, response.metadata());
                }
                Err(status) if is_suspect(status, connection) && steps.step_down(status) => {
                    continue;
                }
                Err(_) => {}
            }
            return answer;
        }
    }

    async fn attempt(&self, parts: Vec<Bytes>, compression: Compression) -> Answer {
        let mut grpc = Grpc::new(self.connection().client());
        if let Some(encoding) = compression.encoding() {
            grpc = grpc.send_compressed(encoding);
        }
        grpc = grpc
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        grpc.ready().await?;
        let mut message = Request::new(parts);
        *message.metadata_mut() = self.headers.clone();
        let path = PathAndQuery::from_static(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        );
        grpc.unary(message, path, BytesCodec::new()).await
    }
}
