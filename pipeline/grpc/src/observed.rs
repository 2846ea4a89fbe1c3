//! A stream of which is seen what the peer says first, and how it ends.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is seen of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// The peer has said this.
    Said(&'a [u8]),
    /// It says no more; by an error, or because it has closed.
    Ended(Option<&'a io::Error>),
}

/// What a peer speaks, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// With its status line, or as a page without one, which is what some answer to a version that they do not know.
    Http1,
    Tls,
    /// As far as can be seen.
    Http2,
    Other,
}

impl Protocol {
    /// Web servers answer plain text on their TLS port in plain HTTP/1, and say that it is one for HTTPS.
    pub(crate) fn of(bytes: &[u8]) -> Protocol {
        // An alert or a handshake message, of SSL 3 or newer (https://www.rfc-editor.org/rfc/rfc8446#section-5.1).
        if let [0x15 | 0x16, 3, ..] = bytes {
            Protocol::Tls
        } else if bytes.starts_with(b"HTTP/1.") {
            let is_for_https = bytes.windows(5).any(|it| it == b"HTTPS");
            if is_for_https {
                Protocol::Tls
            } else {
                Protocol::Http1
            }
        } else if bytes.starts_with(b"<") {
            Protocol::Http1
        } else if bytes.starts_with(&[0]) {
            // The length of a frame, which is a small one (https://www.rfc-editor.org/rfc/rfc9113#section-4.1).
            Protocol::Http2
        } else {
            Protocol::Other
        }
    }
}

type Observer = Box<dyn FnMut(Event<'_>) + Send>;

/// A stream that tells what happens on it.
pub(crate) struct Observed<S> {
    stream: S,
    observe: Observer,
}

impl<S> Observed<S> {
    pub(crate) fn new(stream: S, observe: impl FnMut(Event<'_>) + Send + 'static) -> Observed<S> {
        Observed {
            stream,
            observe: Box::new(observe),
        }
    }
}

impl<S> fmt::Debug for Observed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed")
    }
}

impl<S: AsyncRead + Unpin> Observed<S> {
    /// A peer that refuses a connection says why before it closes; who writes finds out first that it has closed. What was
    /// said is read before the error is given: it is there, or the end is.
    fn written<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let Poll::Ready(Err(error)) = &outcome else {
            return outcome;
        };
        let mut bytes = [0; 1024];
        let mut buffer = ReadBuf::new(&mut bytes);
        let is_closed = matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset
        );
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending if is_closed => return Poll::Pending,
            Poll::Ready(Err(last)) => (self.observe)(Event::Ended(Some(&last))),
            _ => {
                if !buffer.filled().is_empty() {
                    (self.observe)(Event::Said(buffer.filled()));
                }
                (self.observe)(Event::Ended(Some(error)));
            }
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &outcome {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                (self.observe)(Event::Said(&buffer.filled()[before..]));
            }
            Poll::Ready(Ok(())) if buffer.remaining() > 0 => (self.observe)(Event::Ended(None)),
            Poll::Ready(Err(error)) => (self.observe)(Event::Ended(Some(error))),
            _ => {}
        }
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(outcome, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_known_by_its_first_bytes() {
        for (bytes, protocol) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Protocol::Http1),
            (
                b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
                Protocol::Tls,
            ),
            (b"\x15\x03\x01\x00\x02\x02\x16", Protocol::Tls),
            (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", Protocol::Http2),
            (b"<!DOCTYPE HTML>\n", Protocol::Http1),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Protocol::Other),
            (b"", Protocol::Other),
        ] {
            assert_eq!(Protocol::of(bytes), protocol, "{bytes:?}");
        }
    }
}
