#![doc = include_str!("../README.md")]

mod answer;
mod client;
mod compression;
mod config;
mod message;

use std::collections::VecDeque;
use std::sync::Arc;

use http::uri::{Authority, Scheme, Uri};
use pipeline::{
    Batch, Component, Context, Error, ExportError, Exporter, Result, Right, async_trait,
};
use pipeline_grpc::{MAX_HEADER_BYTES, endpoint, is_answer_too_large, metadata};
use tonic::Code;

use client::Client;
use compression::Steps;
pub use config::Config;
use message::MessageLimit;

/// Sends OTLP over gRPC.
#[derive(Debug)]
pub struct Otlp {
    component: Arc<str>,
    /// What is asked of whom, as errors name it.
    destination: String,
    /// Whether the peer's certificate is not looked at.
    is_unverified: bool,
    client: Client,
    /// How much of a request the peer takes at a time, for as long as the connection lasts.
    limit: MessageLimit,
}

pipeline::register! { exporter Otlp }

impl Component for Otlp {
    const TYPE: &'static str = "otlp";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Otlp> {
        let uri = uri(&config).map_err(|why| Error::at("endpoint", why))?;
        let mut endpoint = endpoint(&uri).http2_max_header_list_size(MAX_HEADER_BYTES);
        let agent = context.build_info.user_agent();
        endpoint = endpoint.user_agent(agent).map_err(Error::new)?;
        let is_unverified = config.tls.insecure_skip_verify && uri.scheme() == Some(&Scheme::HTTPS);
        let (needed, tls) = (uri.clone(), config.tls.clone());
        context.needs(move || {
            let port = needed.port_u16().unwrap_or_default();
            let connect = Right::connect(needed.host().unwrap_or_default(), port);
            connect.into_iter().chain(tls.rights()).collect()
        });
        let tls = if uri.scheme() == Some(&Scheme::HTTPS) {
            let host = uri.host().unwrap_or_default();
            Some(config.tls.client(host, context)?)
        } else {
            None
        };
        if let Some(keepalive) = &config.keepalive {
            endpoint = keepalive.apply(endpoint);
        }
        let headers = metadata(config.headers, context)?;
        let steps = Steps::new(&context.id, config.compression);
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.authority().map_or("", Authority::as_str);
        Ok(Otlp {
            component: Arc::clone(&context.id),
            destination: format!("OTLP Export to {scheme}://{host}"),
            is_unverified,
            client: Client::new(endpoint, tls, headers, steps),
            limit: MessageLimit::none(&context.id),
        })
    }
}

#[async_trait]
impl Exporter for Otlp {
    async fn start(&self) -> Result<()> {
        if self.is_unverified {
            tracing::warn!(
                component = &*self.component,
                "the peer's certificate is not looked at, as `tls.insecure_skip_verify` has it: whoever answers gets the data"
            );
        }
        self.client.connection();
        Ok(())
    }

    fn destination(&self) -> Option<String> {
        Some(self.destination.clone())
    }

    fn message_limit(&self) -> Option<usize> {
        Some(self.limit.to_join())
    }

    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        let to = &*self.destination;
        let mut left: VecDeque<Batch> = request.iter().cloned().collect();
        while let Some(message) = self.limit.next(&mut left) {
            let (part, status) = match self.client.send(message.parts.clone()).await {
                Ok(response) => (answer::accepted(to, response.into_inner()), None),
                // The peer has it: to send it again, or in parts, would send it twice.
                Err(status) if is_answer_too_large(&status) => (answer::unread(to), None),
                Err(status) => match answer::too_large(&status) {
                    Some(stated) if !message.is_single() => {
                        self.limit.lower(message.size, stated);
                        message.put_back(&mut left);
                        continue;
                    }
                    Some(_) => (Err(answer::lost(to, &status)), None),
                    None => (Err(answer::refused(to, &status)), Some(status)),
                },
            };
            if status.is_some_and(|it| it.code() == Code::Unavailable) {
                // The next connection may be to another peer.
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
