#![doc = include_str!("../README.md")]

mod answer;
mod codec;
mod config;

use std::str::FromStr;
use std::sync::OnceLock;

use http::uri::{PathAndQuery, Scheme, Uri};
use pipeline::{
    Batch, Component, Context, Error, ExportError, Exporter, Result, async_trait, otlp,
};
use tonic::Request;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

pub use config::{Compression, Config, Tls};

/// Sends OTLP over gRPC.
#[derive(Debug)]
pub struct Otlp {
    endpoint: Endpoint,
    /// Made at the start: a connection needs the runtime.
    channel: OnceLock<Channel>,
    headers: MetadataMap,
    compression: Option<CompressionEncoding>,
}

pipeline::register! { exporter Otlp }

impl Component for Otlp {
    const TYPE: &'static str = "otlp";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Otlp> {
        let uri = uri(&config).map_err(|why| Error::at("endpoint", why))?;
        let mut endpoint = Endpoint::from(uri.clone()).tcp_nodelay(true);
        let agent = format!(
            "statsfs-collector/{} (linux/{})",
            context.scope.version,
            std::env::consts::ARCH
        );
        endpoint = endpoint.user_agent(agent).map_err(Error::new)?;
        if uri.scheme() == Some(&Scheme::HTTPS) {
            endpoint = endpoint
                .tls_config(tls(&config.tls, context)?)
                .map_err(|error| Error::at("tls", error))?;
        }
        let mut headers = MetadataMap::new();
        for (name, value) in &config.headers {
            let at = format!("headers.{name}");
            let key = AsciiMetadataKey::from_str(&name.to_ascii_lowercase())
                .map_err(|_| Error::at(&at, format!("`{name}` is no header's name")))?;
            let mut value = AsciiMetadataValue::try_from(value.expose())
                .map_err(|_| Error::at(&at, "a header's value is printable ASCII"))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let compression = match config.compression {
            Compression::Gzip => Some(CompressionEncoding::Gzip),
            Compression::None => None,
        };
        Ok(Otlp {
            endpoint,
            channel: OnceLock::new(),
            headers,
            compression,
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
        let channel = self.channel.get_or_init(|| self.endpoint.connect_lazy());
        let mut grpc = Grpc::new(channel.clone());
        if let Some(compression) = self.compression {
            grpc = grpc
                .send_compressed(compression)
                .accept_compressed(compression);
        }
        grpc.ready().await.map_err(ExportError::retryable)?;
        let mut message = Request::new(request.iter().map(otlp::encode).collect());
        *message.metadata_mut() = self.headers.clone();
        let path = PathAndQuery::from_static(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        );
        match grpc.unary(message, path, codec::Encoded).await {
            Ok(response) => answer::accepted(response.into_inner()),
            Err(status) => Err(answer::refused(&status)),
        }
    }
}

/// The endpoint with its scheme: `http` where TLS is off.
fn uri(config: &Config) -> Result<Uri, String> {
    let text = &config.endpoint;
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
    if !has_scheme && uri.port().is_none() {
        return Err(format!("`{text}` has no port; OTLP over gRPC has 4317"));
    }
    Ok(uri)
}

fn tls(tls: &Tls, context: &Context) -> Result<ClientTlsConfig> {
    let read = |key: &str, path: &std::path::Path| {
        context
            .read(path)
            .map_err(|error| Error::at(format!("tls.{key}"), error))
    };
    let mut config = match &tls.ca_file {
        Some(path) => {
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca_file", path)?))
        }
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some(name) = &tls.server_name_override {
        config = config.domain_name(name);
    }
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            config = config.identity(Identity::from_pem(
                read("cert_file", cert)?,
                read("key_file", key)?,
            ));
        }
        (None, None) => {}
        (Some(_), None) => return Err(Error::at("tls.cert_file", "`cert_file` needs `key_file`")),
        (None, Some(_)) => return Err(Error::at("tls.key_file", "`key_file` needs `cert_file`")),
    }
    Ok(config)
}
