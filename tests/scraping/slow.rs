//! Clients that take their time.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Scraped;
use crate::common::{count, file, memory};

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

#[test]
fn who_reads_a_byte_a_second_holds_up_others_only_where_eight_do_and_is_cut() {
    // Each series has a label of so many bytes: an exposition has 10 MB.
    const LABEL: usize = 4_000;
    let tree = tempfile::tempdir().unwrap();
    for number in 0..2_500 {
        file(tree.path(), &format!("net/eth{number}/rx_bytes"));
    }
    let label = "x".repeat(LABEL);
    let options = format!("const_labels: {{x: {label}}}, limits: {{write_timeout: 10s}}");
    let scraped = Scraped::start(tree.path(), &options);
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
    // They are cut, and others are answered again, though they never read on.
    while scraped.scrape(&[]).status != 200 {
        std::thread::yield_now();
    }
    let logs = scraped.end();
    assert!(count(&logs, "connections_cut") > 0, "{logs}");
    assert!(logs.contains("timeout="), "{logs}");
    drop(clients);
}
