//! A question to a server of this host, as the subcommand `health` asks it.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::header::HOST;
use http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::listener::Stream;

/// More of an answer is not read.
const MAX_BYTES: usize = 1 << 20;

/// What a server in plain text answers to `GET path`: the status, and the body.
///
/// # Errors
/// Why there is no answer within this time, for the user.
pub async fn get(
    endpoint: &Endpoint,
    path: &str,
    within: Duration,
) -> Result<(StatusCode, String), String> {
    let answer = timeout(within, ask(endpoint, path)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {within:?}")))
}

async fn ask(endpoint: &Endpoint, path: &str) -> Result<(StatusCode, String), String> {
    let stream = connect(endpoint).await.map_err(|error| error.to_string())?;
    let told = |error: hyper::Error| format!("the answer is no HTTP/1: {error}");
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(told)?;
    let request = Request::get(path).header(HOST, host(endpoint));
    let request = request.body(Body::empty()).map_err(|it| it.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(told)?;
        let status = answer.status();
        let body = to_bytes(Body::new(answer.into_body()), MAX_BYTES).await;
        let body = body.map_err(|error| format!("the answer breaks off: {error}"))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // Whatever ended it, the answer has it too.
        _ = connection => answer.await,
    }
}

async fn connect(endpoint: &Endpoint) -> std::io::Result<Box<dyn Stream>> {
    Ok(match endpoint {
        Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Endpoint::Tcp { host, port } => {
            let host = if host.is_empty() { "localhost" } else { host };
            Box::new(TcpStream::connect((host, *port)).await?)
        }
    })
}

/// A server that listens on every address may check for whom it is asked: this host it always is.
fn host(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Unix(_) => "localhost".into(),
        Endpoint::Tcp { host, port } if matches!(&**host, "" | "0.0.0.0" | "::") => {
            format!("localhost:{port}")
        }
        endpoint @ Endpoint::Tcp { .. } => endpoint.to_string(),
    }
}
