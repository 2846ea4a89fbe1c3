//! A connection that is counted, since what is learnt of a peer holds for one of them; and what is seen on it that explains
//! why calls fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use pipeline::{BoxError, Watched};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Endpoint;
use tower::{ServiceExt, service_fn};

use crate::observed::{Event, Observed, Protocol};
use crate::{Client, TlsClient};

/// The endpoint of a [`Connection`] to `http://host:port` or `https://host:port`.
///
/// # Panics
/// Where the URI has no host.
#[must_use]
pub fn endpoint(uri: &Uri) -> Endpoint {
    // TLS is the connection's, not tonic's, which takes no `https` then.
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    let plain = Uri::from_parts(parts).expect("as it was but for the scheme");
    Endpoint::from(plain).origin(uri.clone())
}

/// A connection to a peer, made when it is first needed, and anew when it has ended.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    state: Arc<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    made: AtomicU64,
    /// The newest on which the peer said anything.
    heard: AtomicU64,
    /// The newest that has ended.
    ended: AtomicU64,
    /// What was seen on the newest that explains why its calls fail.
    finding: Mutex<Option<String>>,
}

/// What the peer speaks instead, by its first words.
fn spoken_instead(bytes: &[u8], is_tls: bool) -> Option<String> {
    match Protocol::of(bytes) {
        Protocol::Http2 => None,
        Protocol::Http1 => Some("the peer speaks HTTP/1, and not gRPC".into()),
        Protocol::Tls if !is_tls => Some("the peer speaks TLS, and not plain text: take out `tls.insecure: true`, or `http://` before the endpoint".into()),
        Protocol::Tls | Protocol::Other => {
            let begin = &bytes[..bytes.len().min(20)];
            let begin = String::from_utf8_lossy(begin);
            Some(format!("the peer speaks neither HTTP/2 nor gRPC: it begins with `{}`", begin.trim_end()))
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection {
    /// One of an [`endpoint`], that takes `timeout` to be made at the most, TLS included.
    #[must_use]
    pub fn lazy(
        endpoint: &Endpoint,
        tls: Option<Arc<Watched<TlsClient>>>,
        timeout: Duration,
    ) -> Connection {
        let state = Arc::<State>::default();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        // Shared by the addresses of the name.
        tcp.set_connect_timeout(Some(timeout));
        let of_connector = Arc::clone(&state);
        let connector = service_fn(move |uri: Uri| {
            let (tcp, state) = (tcp.clone(), Arc::clone(&of_connector));
            let tls = tls.as_ref().map(|tls| tls.get());
            async move {
                let deadline = Instant::now() + timeout;
                let stream = timeout_at(deadline, tcp.oneshot(uri)).await;
                let stream = stream.map_err(|_| format!("no connection within {timeout:?}"))??;
                let stream = stream.into_inner();
                let stream: Box<dyn Stream> = match &tls {
                    None => Box::new(stream),
                    Some(tls) => {
                        let stream = timeout_at(deadline, tls.connect(stream)).await;
                        let error = |_| format!("the TLS handshake was not done after {timeout:?}");
                        Box::new(stream.map_err(error)??)
                    }
                };
                Ok::<_, BoxError>(TokioIo::new(state.observed(stream, tls)))
            }
        });
        let channel = endpoint.connect_with_connector_lazy(connector);
        Connection {
            client: Client::observed(channel, Arc::clone(&state)),
            state,
        }
    }

    /// What sends over it.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The number, from 1, of the one that takes what is sent now: the newest, or the next where that has ended.
    #[must_use]
    pub fn number(&self) -> u64 {
        let made = self.state.made.load(Ordering::Relaxed);
        made.max(self.state.ended.load(Ordering::Relaxed) + 1)
    }

    /// Whether the peer has said anything on the newest: one that closes it without a word is not there yet, as what accepts
    /// connections in its place does it.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let made = self.state.made.load(Ordering::Relaxed);
        self.state.heard.load(Ordering::Relaxed) == made
    }
}

impl State {
    /// Why calls over the newest connection fail, if that was seen.
    pub(crate) fn finding(&self) -> Option<String> {
        let finding = self.finding.lock();
        finding.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new connection.
    fn observed(
        self: Arc<State>,
        stream: Box<dyn Stream>,
        tls: Option<Arc<TlsClient>>,
    ) -> Observed<Box<dyn Stream>> {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        self.find(None);
        let mut is_silent = true;
        Observed::new(stream, move |event| {
            let finding = match event {
                Event::Said(bytes) if is_silent => {
                    is_silent = false;
                    self.heard.fetch_max(number, Ordering::Relaxed);
                    spoken_instead(bytes, tls.is_some())
                }
                Event::Said(_) => None,
                Event::Ended(error) => {
                    self.ended.fetch_max(number, Ordering::Relaxed);
                    let of_tls = tls.as_ref().map(|tls| tls.explain_end(error, is_silent));
                    match of_tls {
                        Some(Some(finding)) => Some(finding),
                        Some(None) if is_silent => Some("the peer closes the connection without a word: it is not ready, or no gRPC".into()),
                        None if is_silent => Some("the peer closes the connection without a word: it is not ready, or it speaks TLS, which takes no `tls.insecure: true` and no `http://`".into()),
                        _ => None,
                    }
                }
            };
            if finding.is_some() && self.made.load(Ordering::Relaxed) == number {
                self.find(finding);
            }
        })
    }

    fn find(&self, finding: Option<String>) {
        *self.finding.lock().unwrap_or_else(PoisonError::into_inner) = finding;
    }
}
