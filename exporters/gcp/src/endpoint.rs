//! Where the API is, and how it is reached.

use std::time::Duration;

use http::uri::Uri;
use pipeline::{Context, Error, Result};
use pipeline_grpc::{no_authorities, system_roots};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::config::MetricConfig;

/// The default endpoint of Cloud Monitoring.
const DEFAULT_ENDPOINT: &str = "monitoring.googleapis.com:443";
/// The interval of keepalive pings, and how long to wait for their answer. Together they are less than the time-out.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// `host:port`.
pub(crate) fn address(metric: &MetricConfig) -> &str {
    metric.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT)
}

/// The endpoint, to be connected to when it is used.
///
/// # Errors
/// What is no endpoint, no certificate, or no user agent.
pub(crate) fn build(metric: &MetricConfig, agent: &[u8], context: &Context) -> Result<Endpoint> {
    let text = address(metric);
    if text.contains('@') {
        // Not shown: there may be a password before it.
        let why = "an endpoint has no user and no password";
        return Err(Error::at("metric.endpoint", why));
    }
    let scheme = if metric.use_insecure { "http" } else { "https" };
    let parsed: Result<Uri, _> = format!("{scheme}://{text}").parse();
    let uri = parsed
        .ok()
        .filter(|uri| uri.port().is_some() && uri.path().len() <= 1);
    let uri = uri.ok_or_else(|| {
        Error::at(
            "metric.endpoint",
            format!("`{text}` is no endpoint; it is written `host:port`"),
        )
    })?;
    // Keepalive finds a dead connection while a request waits, before the request times out.
    let endpoint = Endpoint::from(uri)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .user_agent(agent.to_vec())
        .map_err(|error| Error::at("user_agent", error))?;
    if metric.use_insecure {
        return Ok(endpoint);
    }
    let mut tls = trusted(metric, context)?;
    if let Some(name) = &metric.server_name_override {
        tls = tls.domain_name(name);
    }
    endpoint
        .tls_config(tls)
        .map_err(|error| Error::at("metric.endpoint", error))
}

/// TLS with whom the configuration trusts: the authorities of a file, or the system's.
fn trusted(metric: &MetricConfig, context: &Context) -> Result<ClientTlsConfig> {
    let tls = ClientTlsConfig::new();
    if let Some(path) = &metric.ca_file {
        let pem = context.read(path);
        let pem = pem.map_err(|error| Error::at("metric.ca_file", error))?;
        return Ok(tls.ca_certificate(Certificate::from_pem(pem)));
    }
    let roots = system_roots();
    if roots.is_empty() {
        return Err(Error::at("metric", no_authorities("metric.ca_file")));
    }
    Ok(tls.trust_anchors(roots.roots))
}
