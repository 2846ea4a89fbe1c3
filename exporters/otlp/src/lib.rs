#![doc = include_str!("../README.md")]

mod answer;
mod config;
mod message;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use pipeline::opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use pipeline::{Batch, Component, Context, Error, ExportError, Exporter, Result, async_trait};
use pipeline_grpc::{
    BytesCodec, MAX_ANSWER_BYTES, MAX_HEADER_BYTES, is_answer_too_large, metadata,
};
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

pub use config::Config;
use message::MessageLimit;

/// For how long a connection may be in the making, TLS included: then another one is made. An attempt that is over does
/// not end it, and all others would wait for it.
const CONNECT: Duration = Duration::from_secs(10);

/// Sends OTLP over gRPC.
#[derive(Debug)]
pub struct Otlp {
    id: Arc<str>,
    endpoint: Endpoint,
    /// Made at the start: a connection needs the runtime.
    channel: OnceLock<Channel>,
    headers: MetadataMap,
    compression: Option<CompressionEncoding>,
    /// The peer does not know zstd: so it is for this connection.
    without_zstd: AtomicBool,
    /// How much of a request the peer takes at a time: likewise.
    limit: MessageLimit,
}

pipeline::register! { exporter Otlp }

impl Component for Otlp {
    const TYPE: &'static str = "otlp";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Otlp> {
        let uri = uri(&config).map_err(|why| Error::at("endpoint", why))?;
        let mut endpoint = Endpoint::from(uri.clone())
            .tcp_nodelay(true)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .connect_timeout(CONNECT);
        let agent = context.build_info.user_agent();
        endpoint = endpoint.user_agent(agent).map_err(Error::new)?;
        if uri.scheme() == Some(&Scheme::HTTPS) {
            endpoint = endpoint
                .tls_config(config.tls.client_config(CONNECT, context)?)
                .map_err(|error| Error::at("tls", error))?;
        }
        if let Some(keepalive) = &config.keepalive {
            endpoint = keepalive.apply(endpoint);
        }
        Ok(Otlp {
            id: Arc::clone(&context.id),
            endpoint,
            channel: OnceLock::new(),
            headers: metadata(&config.headers)?,
            compression: config.compression.encoding(),
            without_zstd: AtomicBool::new(false),
            limit: MessageLimit::none(&context.id),
        })
    }
}

#[async_trait]
impl Exporter for Otlp {
    async fn start(&self) -> Result<()> {
        // Lazily: a peer that is not there yet is no reason not to start.
        self.channel.get_or_init(|| self.endpoint.connect_lazy());
        Ok(())
    }

    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        let mut left: VecDeque<Batch> = request.iter().cloned().collect();
        while let Some(message) = self.limit.next(&mut left) {
            let (part, status) = match self.attempt(message.parts.clone()).await {
                Ok(response) => (answer::accepted(response), None),
                // The peer has it: to send it again, or in parts, would send it twice.
                Err(status) if is_answer_too_large(&status) => (answer::unread(), None),
                Err(status) => match answer::too_large(&status) {
                    Some(stated) if !message.is_single() => {
                        self.limit.lower(message.size, stated);
                        message.put_back(&mut left);
                        continue;
                    }
                    Some(_) => (Err(ExportError::permanent(answer::describe(&status))), None),
                    None => (Err(answer::refused(&status)), Some(status)),
                },
            };
            if status.is_some_and(|it| it.code() == Code::Unavailable) {
                // The next connection may be to another peer.
                self.without_zstd.store(false, Ordering::Relaxed);
                self.limit.forget();
            }
            if left.is_empty() {
                return part;
            }
            let part = match part {
                Ok(()) => Ok((0, String::new())),
                Err(ExportError::Partial { rejected, message }) => Ok((rejected, message)),
                Err(ExportError::Permanent { source }) => Err(source),
                // Nothing is done with: it is all of the request still.
                Err(other) => return Err(other),
            };
            let left = left.into();
            return Err(ExportError::Part { part, left });
        }
        Ok(())
    }
}

impl Otlp {
    /// Sends a message as the peer knows to decompress it.
    async fn attempt(&self, parts: Vec<Bytes>) -> Result<ExportMetricsServiceResponse, Status> {
        let compression = match self.compression {
            Some(CompressionEncoding::Zstd) if self.without_zstd.load(Ordering::Relaxed) => {
                Some(CompressionEncoding::Gzip)
            }
            compression => compression,
        };
        let unknown = |answer: &Result<_, Status>| {
            answer
                .as_ref()
                .is_err_and(|it| it.code() == Code::Unimplemented)
        };
        let answer = self.send(parts.clone(), compression).await;
        if compression != Some(CompressionEncoding::Zstd) || !unknown(&answer) {
            return answer;
        }
        let answer = self.send(parts, Some(CompressionEncoding::Gzip)).await;
        // A peer without the service at all says the same: then it is not for the compression.
        if !unknown(&answer) && !self.without_zstd.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                component = &*self.id,
                "the peer does not know zstd; sending gzip"
            );
        }
        answer
    }

    async fn send(
        &self,
        parts: Vec<Bytes>,
        compression: Option<CompressionEncoding>,
    ) -> Result<ExportMetricsServiceResponse, Status> {
        let channel = self.channel.get_or_init(|| self.endpoint.connect_lazy());
        let mut grpc = Grpc::new(channel.clone());
        if let Some(compression) = compression {
            grpc = grpc.send_compressed(compression);
        }
        grpc = grpc
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        grpc.ready()
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        let mut message = Request::new(parts);
        *message.metadata_mut() = self.headers.clone();
        let path = PathAndQuery::from_static(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        );
        grpc.unary(message, path, BytesCodec::new())
            .await
            .map(Response::into_inner)
    }
}

/// The endpoint with its scheme: `http` where TLS is off.
fn uri(config: &Config) -> Result<Uri, String> {
    let text = &config.endpoint;
    if text.contains('@') {
        // Not shown: there may be a password before it.
        return Err("an endpoint has no user and no password; set `headers`".into());
    }
    let has_scheme = text.contains("://");
    let scheme = if config.tls.insecure { "http" } else { "https" };
    let whole = if has_scheme {
        text.clone()
    } else {
        format!("{scheme}://{text}")
    };
    let uri: Uri = whole
        .parse()
        .map_err(|error| format!("`{text}` is no endpoint: {error}; it is written `host:port`"))?;
    let known = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    if !known
        || uri.host().is_none_or(str::is_empty)
        || uri.path().len() > 1
        || uri.query().is_some()
    {
        return Err(format!(
            "`{text}` is no endpoint; it is written `host:port`, `http://host:port` or `https://host:port`"
        ));
    }
    match (uri.port_u16(), uri.authority().and_then(port_of)) {
        (Some(1..), _) => Ok(uri),
        (_, Some(port)) => Err(format!(
            "`{text}` has the port `{port}`; a port is 1 to 65535"
        )),
        (_, None) => Err(format!("`{text}` has no port; OTLP over gRPC has 4317")),
    }
}

/// What stands where the port does.
fn port_of(authority: &Authority) -> Option<&str> {
    let (_, port) = authority.as_str().rsplit_once(':')?;
    (!port.ends_with(']')).then_some(port)
}
