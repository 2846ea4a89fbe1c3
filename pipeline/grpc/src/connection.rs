//! A connection that is counted: what is learnt of a peer holds for one of them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tower::ServiceExt;

use crate::Client;

/// A connection to a peer, made when it is first needed, and anew when it has ended.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    made: AtomicU64,
    /// The newest on which the peer said anything.
    heard: AtomicU64,
    /// The newest that has ended.
    ended: AtomicU64,
}

impl Connection {
    /// One that takes `timeout` to be made at the most, TLS included.
    #[must_use]
    pub fn lazy(endpoint: &Endpoint, timeout: Duration) -> Connection {
        let counts = Arc::<Counts>::default();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        // Shared by the addresses of the name.
        connector.set_connect_timeout(Some(timeout));
        let counted = Arc::clone(&counts);
        let connector = connector.map_response(move |io: TokioIo<TcpStream>| {
            let number = counted.made.fetch_add(1, Ordering::Relaxed) + 1;
            TokioIo::new(CountedStream {
                stream: io.into_inner(),
                number,
                counts: Arc::clone(&counted),
            })
        });
        let endpoint = endpoint.clone().connect_timeout(timeout);
        Connection {
            client: Client::new(endpoint.connect_with_connector_lazy(connector)),
            counts,
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
        let made = self.counts.made.load(Ordering::Relaxed);
        made.max(self.counts.ended.load(Ordering::Relaxed) + 1)
    }

    /// Whether the peer has said anything on the newest: one that closes it without a word is not there yet, as what accepts
    /// connections in its place does it.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let made = self.counts.made.load(Ordering::Relaxed);
        self.counts.heard.load(Ordering::Relaxed) == made
    }
}

/// A stream that says whether the peer has said anything, and that it has ended.
struct CountedStream {
    stream: TcpStream,
    number: u64,
    counts: Arc<Counts>,
}

impl CountedStream {
    fn end(&self) {
        self.counts.ended.fetch_max(self.number, Ordering::Relaxed);
    }

    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(_)) = outcome {
            self.end();
        }
        outcome
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            let heard = &self.counts.heard;
            heard.fetch_max(self.number, Ordering::Relaxed);
        } else if outcome.is_ready() {
            self.end();
        }
        outcome
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
