//! An answer that ends before its message does.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::Failure;
use crate::client::unavailable;

/// Before each message: whether it is compressed, and how long it is
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)).
const PREFIX: usize = 5;

/// The answer, whose end within its message is a failure of the connection. hyper takes a stream that is reset without an
/// error (a proxy whose backend has gone) for one that has ended; tonic has UNKNOWN or INTERNAL for that.
pub(crate) fn whole(answer: Response<Body>) -> Response<Body> {
    let has_message =
        answer.status() == StatusCode::OK && !answer.headers().contains_key(Status::GRPC_STATUS);
    answer.map(|body| {
        Body::new(WholeAnswer {
            body,
            prefix: Vec::new(),
            received: 0,
            may_end: !has_message,
        })
    })
}

struct WholeAnswer {
    body: Body,
    prefix: Vec<u8>,
    /// Bytes.
    received: usize,
    may_end: bool,
}

impl WholeAnswer {
    fn receive(&mut self, bytes: &Bytes) {
        let missing = PREFIX - self.prefix.len();
        self.prefix.extend(bytes.iter().take(missing));
        self.received += bytes.len();
        if let [_, length @ ..] = &*self.prefix
            && let Ok(length) = <[u8; 4]>::try_from(length)
        {
            // Without trailers it may be a proxy that takes them off: the message is there all the same.
            self.may_end |= self.received - PREFIX >= u32::from_be_bytes(length) as usize;
        }
    }
}

impl http_body::Body for WholeAnswer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let cut_off = |status| Some(Err(unavailable(status, Failure::CutOff)));
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.may_end |= frame.is_trailers();
                frame.data_ref().into_iter().for_each(|it| self.receive(it));
                Some(Ok(frame))
            }
            Some(Err(status)) => cut_off(status),
            None if self.may_end => None,
            None => {
                self.may_end = true;
                cut_off(Status::unknown("the answer ended before it was whole"))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.may_end && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
