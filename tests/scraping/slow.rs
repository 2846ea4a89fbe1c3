//! Clients that take their time.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::http::get_by;
use super::{Scraped, config};
use crate::common::{file, lines_until, memory};

/// A client that wants it so, and has read the first bytes of what is far larger than a connection holds.
fn slow(scraped: &Scraped, accept: &str) -> TcpStream {
    let mut stream = TcpStream::connect(scraped.address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
    )
    .unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

/// A tree of many series, and a label that each of them gets: an exposition has 10 MB.
fn large() -> (tempfile::TempDir, String) {
    let tree = tempfile::tempdir().unwrap();
    for number in 0..2_500 {
        file(tree.path(), &format!("net/eth{number}/rx_bytes"));
    }
    (tree, "x".repeat(4_000))
}

#[test]
fn who_reads_a_byte_a_second_holds_up_others_only_where_eight_do_and_is_cut() {
    let (tree, label) = large();
    let options =
        |timeout| format!("const_labels: {{x: {label}}}, limits: {{write_timeout: {timeout}}}");
    // It is long enough for a slow machine to make eight expositions before the first one is cut.
    let scraped = Scraped::start(tree.path(), &options("1h"));
    let before = memory(&scraped.child);
    let formats = [
        "text/plain;version=1.0.0",
        "application/openmetrics-text;version=1.0.0",
    ];
    let mut clients = Vec::new();
    for format in formats {
        for escaping in ["underscores", "dots", "values", "allow-utf-8"] {
            clients.push(slow(&scraped, &format!("{format};escaping={escaping}")));
        }
    }
    // The next sweep's would be the ninth.
    let refused = loop {
        let answer = scraped.scrape(&[]);
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503, "{}", refused.body());
    assert_eq!(refused.header("retry-after"), Some("1"));
    let grown = (memory(&scraped.child) - before) / 1024;
    assert!(grown < 8 * 16 + 64, "{grown} MiB");
    // They go, and others are answered again.
    drop(clients);
    while scraped.scrape(&[]).status != 200 {
        std::thread::yield_now();
    }
    scraped.end();
    // One that never reads on is cut.
    let config = config(tree.path(), "127.0.0.1:0", &options("5s"));
    let summary = "service: {telemetry: {logs: {summary_interval: 1s}}, ";
    let mut scraped = Scraped::of(&config.replace("service: {", summary));
    let is_shown = || {
        let stream = TcpStream::connect(scraped.address).unwrap();
        // It may be cut too, on a slow machine.
        let answer = get_by(stream, "localhost", "/metrics", &[]);
        answer.is_ok_and(|it| it.body().contains("# TYPE"))
    };
    while !is_shown() {
        std::thread::yield_now();
    }
    let mut client = TcpStream::connect(scraped.address).unwrap();
    write!(client, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let is_cut = |line: &str| line.contains("connections_cut=");
    let logs = lines_until(&mut scraped.stderr, is_cut);
    assert!(logs.last().unwrap().contains("(timeout="), "{logs:?}");
    scraped.end();
}
