//! A server of metadata, or of tokens, on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::common::text;

/// A server of metadata, or of tokens: what it answers by path, and the requests it had.
pub(crate) struct Http {
    pub(crate) address: String,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn http(answer: impl Fn(&str, usize) -> Option<(u16, String)> + Send + 'static) -> Http {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let recorded = Arc::clone(&requests);
    std::thread::spawn(move || {
        let mut held: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (path, body) = request(&stream);
            let earlier = recorded
                .lock()
                .unwrap()
                .iter()
                .filter(|it| it.starts_with(&path))
                .count();
            recorded.lock().unwrap().push(format!("{path} {body}"));
            match answer(&path, earlier) {
                Some((code, body)) => {
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\nmetadata-flavor: Google\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                    );
                    // Who asked may be gone.
                    let _ = stream.write_all((head + &body).as_bytes());
                }
                // Never an answer.
                None => held.push(stream),
            }
        }
    });
    Http { address, requests }
}

/// The path and the body of a request.
pub(crate) fn request(stream: &TcpStream) -> (String, String) {
    let mut from = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    from.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        if let Some(count) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = count.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    let path = first.split(' ').nth(1).unwrap_or_default();
    (path.split('?').next().unwrap().to_owned(), text(&body))
}

pub(crate) const TOKEN: &str =
    r#"{"access_token":"the-token","expires_in":3600,"token_type":"Bearer"}"#;

/// A metadata server of a machine, with these further keys.
pub(crate) fn machine(more: &'static [(&'static str, &'static str)]) -> Http {
    http(move |path, _| {
        let key = path.strip_prefix("/computeMetadata/v1/")?;
        let known = [
            ("project/project-id", "project-1"),
            ("instance/zone", "projects/12/zones/europe-west1-b"),
            ("instance/id", "4242"),
            ("instance/hostname", "node-7.c.p-1.internal"),
            ("instance/service-accounts/default/token", TOKEN),
        ];
        let found = more.iter().chain(&known).find(|(have, _)| *have == key);
        Some(found.map_or((404, String::new()), |(_, value)| {
            (200, (*value).to_owned())
        }))
    })
}
