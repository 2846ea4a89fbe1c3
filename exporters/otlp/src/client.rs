//! Sends a message, as compressed as the peer takes it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use pipeline::Watched;
use pipeline::opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use pipeline_grpc::{BytesCodec, Compression, Connection, MAX_ANSWER_BYTES, TlsClient};
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};

use crate::compression::{Steps, is_suspect};

/// For how long a connection may be in the making, TLS included: then another one is made. An attempt that is over does
/// not end it, and all others would wait for it.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// For how long a message waits for what another one finds out: it is at the cost of its own `timeout`.
const WAIT: Duration = Duration::from_millis(500);

type Answer = Result<Response<ExportMetricsServiceResponse>, Status>;

#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    tls: Option<Arc<Watched<TlsClient>>>,
    /// Made at the start: a connection needs the runtime.
    connection: OnceLock<Connection>,
    headers: Arc<Watched<MetadataMap>>,
    steps: Mutex<Steps>,
    /// Held by the message that finds out what the peer takes: some peers close the connection at what they do not know,
    /// with all other messages on it.
    search: tokio::sync::Mutex<()>,
}

impl Client {
    pub(crate) fn new(
        endpoint: Endpoint,
        tls: Option<Arc<Watched<TlsClient>>>,
        headers: Arc<Watched<MetadataMap>>,
        steps: Steps,
    ) -> Client {
        Client {
            endpoint,
            tls,
            connection: OnceLock::new(),
            headers,
            steps: Mutex::new(steps),
            search: tokio::sync::Mutex::default(),
        }
    }

    /// Made when it is first needed: a peer that is not there yet is no reason not to start.
    pub(crate) fn connection(&self) -> &Connection {
        let lazily = || Connection::lazy(&self.endpoint, self.tls.clone(), CONNECT);
        self.connection.get_or_init(lazily)
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message once, and again with less compression where its failure may be for that.
    pub(crate) async fn send(&self, parts: Vec<Bytes>) -> Answer {
        let is_due = self.steps().is_due();
        if is_due && let Ok(_search) = self.search.try_lock() {
            return self.find_out(parts).await;
        }
        let mut failed = None;
        loop {
            let known = self.steps().known();
            if let Some(compression) = known.filter(|_| known != failed) {
                match self.send_as_known(parts.clone(), compression).await {
                    Some(answer) => return answer,
                    None => failed = known,
                }
            }
            let Ok(_search) = timeout(WAIT, self.search.lock()).await else {
                return self.attempt(parts, Compression::None).await;
            };
            // Another one may have found it out meanwhile.
            let known = self.steps().known();
            if known.is_none() || known == failed {
                return self.find_out(parts).await;
            }
        }
    }

    /// Sends a message with what the peer is known to take; `None` where it failed maybe for that: another connection has
    /// another peer, and behind one connection there may be several.
    async fn send_as_known(&self, parts: Vec<Bytes>, compression: Compression) -> Option<Answer> {
        let connection = self.connection();
        let number = connection.number();
        let answer = self.attempt(parts, compression).await;
        let is_same = connection.number() == number;
        let mut steps = self.steps();
        match &answer {
            Ok(response) if is_same => steps.confirm(compression, number, response.metadata()),
            Err(status)
                if is_suspect(status, connection)
                    && steps.is_in_doubt(compression, number, is_same, status) =>
            {
                return None;
            }
            _ => {}
        }
        Some(answer)
    }

    /// Sends a message, step by step with less compression, until the peer takes it or it fails for another reason. What
    /// fails without compression too is judged by that: nothing else can be the reason then.
    async fn find_out(&self, parts: Vec<Bytes>) -> Answer {
        let connection = self.connection();
        let mut compression = self.steps().begin();
        loop {
            let number = connection.number();
            let answer = self.attempt(parts.clone(), compression).await;
            let is_same = connection.number() == number;
            match &answer {
                Ok(response) => {
                    let over = is_same.then_some(number);
                    let answer = response.metadata();
                    self.steps().accept(compression, over, answer);
                }
                Err(status) if is_suspect(status, connection) => {
                    let next = self.steps().fail(compression, !is_same, status);
                    if let Some(next) = next {
                        compression = next;
                        continue;
                    }
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
        *message.metadata_mut() = MetadataMap::clone(&self.headers.get());
        let path = PathAndQuery::from_static(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        );
        grpc.unary(message, path, BytesCodec::new()).await
    }
}
