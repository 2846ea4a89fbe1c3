//! An upstream down at HTTP/2, for what no server of ours does: it resets streams, closes connections, answers with pages.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc};

/// What it does with a request.
#[derive(Clone, Copy)]
pub(crate) enum Reaction {
    Take,
    /// Takes it once as many are there as this waits for.
    TakeTogether(&'static Barrier),
    /// Takes it, and names what it takes.
    TakeNaming(&'static str),
    /// A status of gRPC's, with its text.
    Refuse(u16, &'static str),
    Reset(Reason),
    /// Closes the connection.
    Close,
    /// Closes it in the middle of an answer.
    Half,
    /// Begins an answer, with these bytes, and resets the stream.
    ResetWithin(&'static [u8], Reason),
    /// No gRPC at all: the status of HTTP, with a page or without.
    Http(u16, Option<&'static str>),
}

/// It runs until it is dropped, with all connections.
pub(crate) struct StrictPeer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl StrictPeer {
    /// Reacts by the request's encoding (`identity`, where it has none) and its number, from 0.
    pub(crate) fn serve(
        react: impl Fn(&str, usize) -> Reaction + Send + Sync + 'static,
    ) -> StrictPeer {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let all = Arc::clone(&seen);
        let react = Arc::new(move |encoding: &str| {
            let mut seen = all.lock().unwrap();
            seen.push(encoding.to_owned());
            react(encoding, seen.len() - 1)
        });
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&react)));
            }
        });
        StrictPeer {
            address,
            seen,
            _runtime: runtime,
        }
    }

    /// The encodings of the requests, in the order in which they came.
    pub(crate) fn encodings(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(stream: TcpStream, react: Arc<impl Fn(&str) -> Reaction + Send + Sync + 'static>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (then, mut next) = mpsc::unbounded_channel();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            next = next.recv() => {
                // What was said goes out before.
                poll_fn(|cx| { let _ = connection.poll_closed(cx); std::task::Poll::Ready(()) }).await;
                match next.unwrap() {
                    Then::Close => return,
                    Then::Reset(mut body, reason) => body.send_reset(reason),
                }
                continue;
            }
        };
        // The peer went away.
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        let (react, then) = (Arc::clone(&react), then.clone());
        tokio::spawn(async move {
            let encoding = request.headers().get("grpc-encoding");
            let encoding = encoding.map_or("identity", |it| it.to_str().unwrap());
            let reaction = react(encoding);
            // It has the whole request before it says anything; one that goes away has none.
            let is_read = read(request).await.is_ok();
            if let Reaction::TakeTogether(barrier) = reaction {
                barrier.wait().await;
            }
            if is_read && let Ok(Some(next)) = answer(respond, reaction) {
                let _ = then.send(next);
            }
        });
    }
}

async fn read(request: Request<h2::RecvStream>) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    while let Some(bytes) = body.data().await {
        let bytes = bytes?.len();
        body.flow_control().release_capacity(bytes)?;
    }
    Ok(())
}

/// What is to be done once an answer is on its way.
enum Then {
    Close,
    Reset(SendStream<Bytes>, Reason),
}

fn answer(mut respond: SendResponse<Bytes>, reaction: Reaction) -> Result<Option<Then>, h2::Error> {
    let grpc = || Response::builder().header("content-type", "application/grpc");
    let status = |code: u16, text: &str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.into());
        trailers.insert("grpc-message", text.parse().unwrap());
        trailers
    };
    match reaction {
        Reaction::Take | Reaction::TakeTogether(_) | Reaction::TakeNaming(_) => {
            let mut head = grpc();
            if let Reaction::TakeNaming(names) = reaction {
                head = head.header("grpc-accept-encoding", names);
            }
            let mut body = respond.send_response(head.body(()).unwrap(), false)?;
            body.send_data(Bytes::from_static(&[0; 5]), false)?;
            body.send_trailers(status(0, ""))?;
        }
        Reaction::Refuse(code, text) => {
            let mut response = grpc().body(()).unwrap();
            response.headers_mut().extend(status(code, text));
            respond.send_response(response, true)?;
        }
        Reaction::Reset(reason) => respond.send_reset(reason),
        Reaction::Close => return Ok(Some(close(respond))),
        Reaction::Half => {
            let mut body = respond.send_response(grpc().body(()).unwrap(), false)?;
            body.send_data(Bytes::from_static(b"\0\0\0\0\x20abc"), false)?;
            return Ok(Some(close(body)));
        }
        Reaction::ResetWithin(bytes, reason) => {
            let mut body = respond.send_response(grpc().body(()).unwrap(), false)?;
            body.send_data(bytes.into(), false)?;
            return Ok(Some(Then::Reset(body, reason)));
        }
        Reaction::Http(code, page) => {
            let mut head = Response::builder().status(code);
            if page.is_some() {
                head = head.header("content-type", "text/html");
            }
            let head = head.body(()).unwrap();
            let mut body = respond.send_response(head, page.is_none())?;
            if let Some(page) = page {
                body.send_data(page.into(), true)?;
            }
        }
    }
    Ok(None)
}

/// The stream is open until the connection is closed: dropped, it would be reset before.
fn close<T>(stream: T) -> Then {
    std::mem::forget(stream);
    Then::Close
}
