//! One connection: a TLS handshake where there is TLS, one request, its answer, the end.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pipeline::telemetry::{Counter, Counters, Warnings};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::config::Limits;
use crate::listener::Stream;
use crate::server::Tls;
use crate::visitors::Visitors;

/// Connections that ended without an answer, by reason.
pub(crate) const CONNECTIONS_CUT: Counter = Counter::sum("connections_cut");
/// There were too many, and it was the oldest.
pub(crate) const TOO_MANY: &str = "too_many";

/// The line and the headers of a request.
const MAX_HEADER_BYTES: usize = 16 << 10;

/// What all connections of a server share.
pub(crate) struct Connection {
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    pub(crate) visitors: Visitors,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) warnings: Warnings,
}

/// Why a connection was cut: the reason that is counted, and what is logged of it.
struct Cut(&'static str, Option<String>);

impl Cut {
    fn timeout() -> Cut {
        Cut("timeout", None)
    }
}

impl Connection {
    pub(crate) async fn run(self: Arc<Self>, stream: Box<dyn Stream>) {
        let answered = timeout(self.limits.connection_timeout(), self.answer(stream)).await;
        if let Err(Cut(reason, detail)) = answered.unwrap_or(Err(Cut::timeout())) {
            self.counters.record_for(CONNECTIONS_CUT, reason, 1);
            if let Some(detail) = detail {
                self.warnings.warn("a client cannot be answered", &detail);
            }
        }
    }

    async fn answer(self: &Arc<Self>, stream: Box<dyn Stream>) -> Result<(), Cut> {
        let Some(tls) = &self.tls else {
            return self.answer_plain(stream).await;
        };
        let acceptor = TlsAcceptor::from(tls.get());
        let handshake = timeout(self.limits.read_header_timeout.0, acceptor.accept(stream)).await;
        let stream = handshake.map_err(|_| Cut::timeout())?.map_err(|error| {
            let detail = format!("the TLS handshake fails: {error}");
            Cut("tls", Some(detail))
        })?;
        self.answer_plain(stream).await
    }

    async fn answer_plain(self: &Arc<Self>, stream: impl Stream) -> Result<(), Cut> {
        let service = service_fn(|request: Request<Incoming>| {
            let shared = Arc::clone(self);
            async move { shared.respond(request).await }
        });
        let connection = http1::Builder::new()
            // The next request has a connection of its own, and so the same time as this one.
            .keep_alive(false)
            .max_buf_size(MAX_HEADER_BYTES)
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.read_header_timeout.0)
            .serve_connection(TokioIo::new(stream), service);
        match connection.await {
            Err(error) if error.is_timeout() => Err(Cut::timeout()),
            Err(error) if error.is_parse() => {
                let detail = format!("what it sends is no HTTP/1: {error}");
                Err(Cut("protocol", Some(detail)))
            }
            // One that goes while it is answered has what it wanted.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Response, Infallible> {
        if let Err(refusal) = self.visitors.check(request.uri(), request.headers()) {
            return Ok((StatusCode::FORBIDDEN, refusal.text()).into_response());
        }
        let router = self.router.clone();
        router.oneshot(request.map(Body::new)).await
    }
}
