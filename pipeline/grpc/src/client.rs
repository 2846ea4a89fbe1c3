//! What an answer means that is none of gRPC's: a proxy's page, or a connection that fails.

use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tonic::{Code, Status};
use tower::Service;

use crate::connection::State;
use crate::whole_answer::whole;

/// A channel whose failures are UNAVAILABLE, and whose answers are gRPC's. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    /// Of the connection, where it is watched.
    state: Option<Arc<State>>,
}

impl Client {
    /// The client of a channel.
    #[must_use]
    pub fn new(channel: Channel) -> Client {
        let state = None;
        Client { channel, state }
    }

    /// The client of a channel over the connection that has this state.
    pub(crate) fn observed(channel: Channel, state: Arc<State>) -> Client {
        let state = Some(state);
        Client { channel, state }
    }
}

impl Service<Request<Body>> for Client {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let ready = self.channel.poll_ready(cx);
        ready.map_err(|error| failed(error, self.state.as_deref()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Kept out of HTTP/2's table of headers: a peer on gRPC's C core that has met one there that it does not know refuses
        // all that follow on the connection too, since the table's entry is marked as bad.
        if let Some(encoding) = request.headers_mut().get_mut("grpc-encoding") {
            encoding.set_sensitive(true);
        }
        let call = self.channel.call(request);
        let state = self.state.clone();
        Box::pin(async move {
            let answer = call.await;
            let answer = answer.map_err(|error| failed(error, state.as_deref()))?;
            match mapped(answer.status(), answer.headers()) {
                Some(status) => Err(status),
                None => Ok(whole(answer)),
            }
        })
    }
}

fn failed(error: Error, state: Option<&State>) -> Status {
    let is_unreadable = is_unreadable(&error);
    let status = Status::from_error(error.into());
    // tonic's codes: UNKNOWN for a connection, and those of RST_STREAM and GOAWAY
    // (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors).
    let was_connected = matches!(
        status.code(),
        Code::Unknown | Code::Internal | Code::Cancelled
    );
    let finding = state.filter(|_| was_connected).and_then(State::finding);
    match finding {
        // It says more than what the libraries made of it. No peer that spoke gRPC has seen the call.
        Some(finding) => unavailable(Status::unavailable(finding), Failure::NotTaken),
        None if is_unreadable => {
            Status::resource_exhausted("the headers of the answer cannot be read")
        }
        None if was_connected => unavailable(status, Failure::Unanswered),
        None => unavailable(status, Failure::NotTaken),
    }
}

/// Whether h2 refuses the answer: its headers are larger than is taken, or have too many frames, or are none. The peer has
/// the request then, and would answer the same again.
fn is_unreadable(error: &Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let error = causes.find_map(|it| it.downcast_ref::<h2::Error>());
    error.is_some_and(|it| {
        let are_too_many = it.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        it.is_library() && (it.is_reset() || are_too_many)
    })
}

/// What an HTTP answer means that is not gRPC's, whatever its body is
/// ([gRPC's mapping](https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md)).
fn mapped(http: StatusCode, headers: &HeaderMap) -> Option<Status> {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_grpc = match kind {
        Some(kind) => kind.starts_with(b"application/grpc"),
        None => http == StatusCode::OK,
    };
    if is_grpc || headers.contains_key(Status::GRPC_STATUS) {
        return None;
    }
    let code = match http.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let kind = String::from_utf8_lossy(kind.unwrap_or(b"no content type"));
    Some(Status::new(
        code,
        format!("HTTP {http} ({kind}), which is no gRPC"),
    ))
}

/// The status of a call that the connection failed: whatever the reason, another attempt may succeed.
pub(crate) fn unavailable(status: Status, failure: Failure) -> Status {
    let mut unavailable = Status::unavailable(status.message());
    unavailable.set_source(Arc::new(ConnectionError { status, failure }));
    unavailable
}

/// What tonic made of a connection's failure.
#[derive(Debug)]
struct ConnectionError {
    status: Status,
    failure: Failure,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.message())
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.status.source()
    }
}

/// How far a call came that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer answered it.
    Answered,
    /// There was no connection, or the peer did not look at the call, or did not answer pings.
    NotTaken,
    /// The stream was reset, or the connection ended, before there was any answer.
    Unanswered,
    /// The same within the answer.
    CutOff,
}

impl Failure {
    /// How far the call came that a [`Client`] made.
    #[must_use]
    pub fn of(status: &Status) -> Failure {
        let error = status
            .source()
            .and_then(|it| it.downcast_ref::<ConnectionError>());
        error.map_or(Failure::Answered, |it| it.failure)
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn what_is_no_grpc_goes_by_its_http_status_with_or_without_a_page() {
        let codes = |http: u16, kind: Option<&'static str>| {
            let kind = kind.map(|it| (CONTENT_TYPE, HeaderValue::from_static(it)));
            let headers = kind.into_iter().collect();
            mapped(StatusCode::from_u16(http).unwrap(), &headers).map(|it| it.code())
        };
        for (http, code) in [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (415, Code::Unknown),
            (500, Code::Unknown),
            (302, Code::Unknown),
        ] {
            assert_eq!(codes(http, Some("text/html")), Some(code));
            assert_eq!(codes(http, None), Some(code));
            assert_eq!(codes(http, Some("application/grpc")), None);
        }
        // A page in the place of an answer, as one has it who has to log in.
        assert_eq!(codes(200, Some("text/html")), Some(Code::Unknown));
        assert_eq!(codes(200, Some("application/grpc+proto")), None);
        assert_eq!(codes(200, None), None);
        // What says a status of gRPC's is gRPC.
        let headers = [(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("8"),
        )];
        let headers = headers.into_iter().collect();
        assert!(mapped(StatusCode::SERVICE_UNAVAILABLE, &headers).is_none());
    }
}
