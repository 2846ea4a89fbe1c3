//! A peer behind the gateway that takes everything and decodes nothing, so that it costs next to nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What is in flight of a request, and of all of a connection, bytes: as much as comes.
const WINDOW: u32 = 16 << 20;
/// What stands before a message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    last: Arc<Mutex<Option<Bytes>>>,
}

impl Peer {
    pub(crate) fn start(runtime: &Runtime) -> io::Result<Peer> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let last: Arc<Mutex<Option<Bytes>>> = Arc::default();
        let kept = Arc::clone(&last);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, Arc::clone(&kept)));
            }
        });
        Ok(Peer { address, last })
    }

    /// The last message, as it was sent.
    pub(crate) fn last(&self) -> Option<Bytes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.take()
    }
}

async fn connection(socket: TcpStream, last: Arc<Mutex<Option<Bytes>>>) -> Result<(), h2::Error> {
    let mut builder = Builder::new();
    builder.initial_window_size(WINDOW);
    builder.initial_connection_window_size(WINDOW);
    let mut connection = builder.handshake::<_, Bytes>(socket).await?;
    while let Some(request) = connection.accept().await {
        let (request, answer) = request?;
        tokio::spawn(take(request.into_body(), answer, Arc::clone(&last)));
    }
    Ok(())
}

/// Takes a message, and answers that all of it was taken.
async fn take(
    mut body: RecvStream,
    mut answer: SendResponse<Bytes>,
    last: Arc<Mutex<Option<Bytes>>>,
) -> Result<(), h2::Error> {
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    let message = message.freeze();
    if message.len() >= PREFIX {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(message.slice(PREFIX..));
    }
    let mut head = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", grpc);
    let mut body = answer.send_response(head, false)?;
    // An answer without any field.
    body.send_data(Bytes::from_static(&[0; PREFIX]), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(trailers)
}
