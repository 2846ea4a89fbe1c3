//! Peers that are no OTLP over gRPC: an error says what was asked of whom, what that one speaks instead, and the mend.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::common::peer::{Answer, INSECURE, Peer, net_receiver, otlp_config};
use crate::common::{collector, free_address, lines_until};

/// Someone who does this with each connection; his address.
fn listening(mut meet: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|stream| meet(stream.unwrap())));
    address.to_string()
}

/// What the line with `message` says.
fn line_of(message: &str, endpoint: &str, settings: &str) -> String {
    let config = otlp_config(&net_receiver(), endpoint, settings);
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let lines = lines_until(&mut stderr, |line| line.contains(message));
    child.kill().unwrap();
    child.wait().unwrap();
    lines.last().unwrap().clone()
}

fn assert_fails(endpoint: &str, settings: &str, expected: &str) {
    let line = line_of("sending fails", endpoint, settings);
    assert!(line.contains(expected), "{line}, and not: {expected}");
}

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request";

#[test]
fn http_1_is_known_by_its_first_words() {
    let ports = "OTLP over HTTP has the port 4318, over gRPC 4317";
    let mends = format!("the peer speaks HTTP/1, and not gRPC; {ports}");
    // As web servers do, and as one that looks at nothing: the client writes into a connection that is reset.
    let reads_and_answers = |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(BAD_REQUEST);
    };
    let answers = |mut stream: TcpStream| {
        let _ = stream.write_all(BAD_REQUEST);
    };
    // As Python's `http.server`, which knows no HTTP/2.0.
    let shows_a_page = |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"<!DOCTYPE HTML>\n<html>505</html>\n");
    };
    for server in [
        listening(reads_and_answers),
        listening(answers),
        listening(shows_a_page),
    ] {
        let expected = format!("OTLP Export to http://{server}: Unavailable: {mends}");
        assert_fails(&server, INSECURE, &expected);
    }
    let server = listening(reads_and_answers);
    let expected = format!(
        "OTLP Export to https://{server}: Unavailable: the peer speaks HTTP/1 in plain text, and neither TLS nor gRPC; {ports}"
    );
    assert_fails(&server, "tls: {}", &expected);
}

#[test]
fn a_web_server_s_tls_port_and_one_that_says_nothing_are_told() {
    let server = listening(|mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 1024]);
        let said =
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        let _ = stream.write_all(said);
    });
    assert_fails(&server, INSECURE, "the peer speaks TLS, and not plain text");
    // As a Collector's port for gRPC with TLS.
    let server = listening(|mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 1024]);
    });
    let expected = format!(
        "OTLP Export to http://{server}: Unavailable: the peer closes the connection without a word: it is not ready, or it speaks TLS"
    );
    assert_fails(&server, INSECURE, &expected);
    let expected = format!(
        "OTLP Export to https://{server}: Unavailable: the peer ends the connection in the TLS handshake"
    );
    assert_fails(&server, "tls: {}", &expected);
}

#[test]
fn what_is_another_service_s_is_shown() {
    let server = listening(|mut stream: TcpStream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let expected = format!(
        "OTLP Export to http://{server}: Unavailable: the peer speaks neither HTTP/2 nor gRPC: it begins with `SSH-2.0-OpenSSH_9.2`"
    );
    assert_fails(&server, INSECURE, &expected);
}

#[test]
fn who_does_not_answer_or_refuses_is_named() {
    let nobody = free_address();
    let line = line_of("sending fails", &nobody.to_string(), INSECURE);
    let destination = format!("OTLP Export to http://{nobody}: ");
    assert!(
        line.contains(&destination) && line.contains("Connection refused"),
        "{line}"
    );
    for (answer, message, expected) in [
        (Answer::Hang, "sending fails", "no answer within 100ms"),
        (
            Answer::Refuse(tonic::Code::InvalidArgument, None),
            "as the test has it",
            "InvalidArgument: as the test has it",
        ),
        (
            Answer::Partial(3, "three are late"),
            "three are late",
            "three are late",
        ),
    ] {
        let (peer, address) = (Peer::with(vec![answer; 50]), free_address());
        let _server = peer.serve(address, None, true);
        let settings = format!("{INSECURE}, timeout: 100ms");
        let line = line_of(message, &address.to_string(), &settings);
        let expected = format!("OTLP Export to http://{address}: {expected}");
        assert!(line.contains(&expected), "{line}, and not: {expected}");
    }
}
