//! A client of HTTP/1, of so much as these tests need.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    pub(crate) fn body(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

/// Asks for a path. A header `Host` takes the place of the address.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &[&str]) -> Answer {
    let stream = TcpStream::connect(address).unwrap();
    get_by(stream, &address.to_string(), path, headers).unwrap()
}

/// The same by a connection that is there, of this host; the error of one that is cut.
pub(crate) fn get_by(
    mut stream: impl Read + Write,
    host: &str,
    path: &str,
    headers: &[&str],
) -> std::io::Result<Answer> {
    let has_host = headers.iter().any(|it| it.starts_with("Host:"));
    let host = if has_host {
        String::new()
    } else {
        format!("Host: {host}\r\n")
    };
    let lines = headers.iter().flat_map(|it| [*it, "\r\n"]);
    let headers: String = lines.collect();
    let request = format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
    let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let is_chunked = headers
        .iter()
        .any(|(key, value)| key == "transfer-encoding" && value == "chunked");
    let body = &answer[end + 4..];
    Ok(Answer {
        status: status.parse().unwrap(),
        headers,
        bytes: if is_chunked {
            unchunked(body)
        } else {
            body.to_vec()
        },
    })
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|it| it == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        out.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[(end + 4 + size).min(body.len())..];
    }
    out
}
