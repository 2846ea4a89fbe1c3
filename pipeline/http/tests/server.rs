//! A server, asked over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use pipeline::config::Duration;
use pipeline::telemetry::Counters;
use pipeline::{Attributes, Context, Shutdown};
use pipeline_http::axum::Router;
use pipeline_http::axum::routing::get;
use pipeline_http::{Endpoint, Limits, ServerConfig};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server that runs, and what ends it.
struct Running {
    address: Endpoint,
    counters: Counters,
    end: watch::Sender<bool>,
    served: JoinHandle<pipeline::Result<()>>,
}

fn context() -> Context {
    let counters = Counters::new("test");
    Context::new(Arc::new(Attributes::default()), counters, "/")
}

fn config(endpoint: &str) -> ServerConfig {
    ServerConfig {
        endpoint: endpoint.parse().expect("an endpoint"),
        tls: None,
        allowed_hosts: Vec::new(),
        limits: Limits::default(),
    }
}

async fn start(config: ServerConfig) -> Running {
    let context = context();
    let server = config.build(&context).expect("it is built");
    let listening = server.bind().await.expect("it listens");
    let address = listening.address().expect("it has an address").clone();
    let long = "x".repeat(32 << 20);
    let router = Router::new()
        .route("/", get(|| async { "answered\n" }))
        .route("/long", get(|| async { long }));
    let (end, hear) = watch::channel(false);
    let served = tokio::spawn(listening.serve(router, Shutdown::new(hear)));
    Running {
        address,
        counters: context.counters,
        end,
        served,
    }
}

/// Why it cannot listen there.
async fn refused(endpoint: &str) -> String {
    let server = config(endpoint).build(&context()).expect("it is built");
    let refused = server.bind().await.expect_err("it is refused");
    refused.to_string()
}

impl Running {
    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address.to_string()).expect("it is connected")
    }

    /// The whole answer to a request of these lines.
    fn ask(&self, lines: &str) -> String {
        answer(self.connect(), lines)
    }

    /// How many connections were cut, by reason.
    fn cut(&self) -> Vec<(&'static str, u64)> {
        let all = self.counters.snapshot().into_iter();
        all.map(|it| (it.reason, it.value)).collect()
    }

    async fn end(self) {
        self.end.send_replace(true);
        self.served.await.expect("no panic").expect("no error");
    }
}

fn answer(mut stream: impl Read + Write, lines: &str) -> String {
    let request = format!("{}\r\n\r\n", lines.replace('\n', "\r\n"));
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = Vec::new();
    // A connection that is cut ends the answer too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const REQUEST: &str = "GET / HTTP/1.1\nHost: localhost";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn on_loopback_a_name_of_elsewhere_and_a_foreign_page_are_refused() {
    let running = start(config("127.0.0.1:0")).await;
    assert!(running.ask(REQUEST).ends_with("answered\n"));
    assert!(running.ask(REQUEST).contains("connection: close"));
    for lines in [
        "GET / HTTP/1.1\nHost: evil.example".to_owned(),
        "GET / HTTP/1.0".to_owned(),
        format!("{REQUEST}\nOrigin: http://evil.example"),
    ] {
        let answer = running.ask(&lines);
        assert!(answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.0 403"));
        assert!(!answer.contains("evil"), "it shows nothing of the request");
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_connection_more_than_there_may_be_ends_the_oldest() {
    let limits = Limits {
        max_connections: 2.try_into().expect("not 0"),
        read_header_timeout: Duration::from_secs(3600),
        write_timeout: Duration::from_secs(3600),
    };
    let running = start(ServerConfig {
        limits,
        ..config("127.0.0.1:0")
    })
    .await;
    let (mut oldest, other) = (running.connect(), running.connect());
    assert!(running.ask(REQUEST).ends_with("answered\n"));
    // What is cut is the end for the client, be it with an error.
    let _ = oldest.read_to_end(&mut Vec::new());
    assert_eq!(running.cut(), [("too_many", 1)]);
    drop(other);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_takes_his_time_is_cut() {
    let limits = Limits {
        read_header_timeout: Duration::from_secs(1),
        write_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let running = start(ServerConfig {
        limits,
        ..config("127.0.0.1:0")
    })
    .await;
    let (mut slow, mut silent) = (running.connect(), running.connect());
    slow.write_all(b"GET / HT").expect("it is sent");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    let _ = silent.read_to_end(&mut rest);
    let mut reader = running.connect();
    reader
        .write_all(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("it is sent");
    while running.counters.total("connections_cut") < 3 {
        tokio::task::yield_now().await;
    }
    let read = reader.read_to_end(&mut rest).unwrap_or_default();
    assert!(read < 32 << 20, "it was cut before all was sent");
    assert_eq!(running.cut(), [("timeout", 3)]);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_header_of_more_than_16_kib_is_refused() {
    let running = start(config("127.0.0.1:0")).await;
    let answer = running.ask(&format!("{REQUEST}\nX: {}", "x".repeat(20_000)));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_port_that_is_taken_names_who_has_it() {
    let running = start(config("127.0.0.1:0")).await;
    let error = refused(&running.address.to_string()).await;
    let expected = format!(
        "cannot listen on {}: the port is taken by this program, for another component: end that, or choose another one",
        running.address
    );
    assert_eq!(error, expected);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_socket_in_the_file_system_replaces_one_that_was_left_and_goes_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("left behind"));
    let endpoint = format!("unix:{}", path.display());
    let running = start(config(&endpoint)).await;
    let stream = UnixStream::connect(&path).expect("it is connected");
    let any_host = "GET / HTTP/1.1\nHost: any";
    assert!(answer(stream, any_host).ends_with("answered\n"));
    let error = refused(&endpoint).await;
    assert!(error.contains("is taken by this program"), "{error}");
    running.end().await;
    assert!(!path.exists());
    std::fs::write(&path, "mine").expect("a file");
    let error = refused(&endpoint).await;
    assert!(error.contains("a file that is no socket"), "{error}");
    assert_eq!(std::fs::read(&path).expect("it is left"), b"mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn for_one_sweep_nothing_listens() {
    let context = context().with_once(true);
    let server = config("127.0.0.1:0").build(&context).expect("built");
    let listening = server.bind().await.expect("no error");
    assert_eq!(listening.address(), None);
    let (end, hear) = watch::channel(false);
    end.send_replace(true);
    let served = listening.serve(Router::new(), Shutdown::new(hear)).await;
    served.expect("it ends when it is told to");
}

#[test]
fn a_setting_that_means_nothing_is_an_error_at_its_key() {
    let zero = Limits {
        write_timeout: Duration::from_secs(0),
        ..Limits::default()
    };
    let for_ever = Limits {
        read_header_timeout: Duration::from_secs(9_000_000_000),
        ..Limits::default()
    };
    let with_port = vec!["a".to_owned(), "b:1".to_owned()];
    for (config, key) in [
        (
            ServerConfig {
                limits: zero,
                ..config(":0")
            },
            "limits.write_timeout",
        ),
        (
            ServerConfig {
                limits: for_ever,
                ..config(":0")
            },
            "limits.read_header_timeout",
        ),
        (
            ServerConfig {
                allowed_hosts: with_port,
                ..config(":0")
            },
            "allowed_hosts.1",
        ),
    ] {
        let error = config.build(&context()).expect_err("refused");
        assert_eq!(error.path(), key);
    }
}
