//! Certificates of servers.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::TAKEN;
use crate::common::authority::Authority;
use crate::common::{collector, ended, lines_until, repository, signal};

/// A volume as Kubernetes makes it of a Secret: `tls.crt` is a link to `..data/tls.crt`, and `..data` one to a folder.
struct Volume(PathBuf);

impl Volume {
    fn new(folder: &Path, content: (String, String)) -> Volume {
        let volume = Volume(folder.to_owned());
        volume.put("..1", content);
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), folder.join(name)).unwrap();
        }
        volume
    }

    fn put(&self, version: &str, (certificate, key): (String, String)) {
        let folder = self.0.join(version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tls.crt"), certificate).unwrap();
        fs::write(folder.join("tls.key"), key).unwrap();
        symlink(version, self.0.join("..data_tmp")).unwrap();
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
    }
}

/// A connection to there by TLS, that trusts this authority alone.
fn connect(address: &str, ours: &Authority) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ours.pem.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, TcpStream::connect(address).unwrap())
}

/// What it answers to a `GET`; empty where it is not trusted.
fn ask(mut stream: StreamOwned<ClientConnection, TcpStream>, path: &str) -> String {
    // The handshake may fail here already.
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn servers_take_up_files_that_are_swapped_by_a_link_and_answer_who_is_connected() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let files = tempfile::tempdir().unwrap();
    let volume = Volume::new(files.path(), first.issue("localhost", false));
    let file = |name: &str| files.path().join(name).display().to_string();
    let tls = format!(
        "endpoint: '127.0.0.1:0', tls: {{cert_file: {}, key_file: {}}}",
        file("tls.crt"),
        file("tls.key")
    );
    let config = format!(
        "receivers: {{statsfs: {{root: {}}}}}\nexporters: {{prometheus: {{{tls}}}}}\nextensions: {{health_check: {{{tls}}}}}\n\
         service: {{extensions: [health_check], pipelines: {{metrics: {{receivers: [statsfs], exporters: [prometheus]}}}}}}\n",
        repository("tests/fixtures/net-statsfs/sys/kernel/stats").display()
    );
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut address = |of: &str| {
        let lines = lines_until(&mut stderr, |line| line.contains(" listening "));
        let line = lines.last().unwrap();
        assert!(line.contains(of), "{line}");
        let address = line.split("address=\"").nth(1).unwrap();
        address.split('"').next().unwrap().to_owned()
    };
    let servers = [
        (address("health_check"), "/livez"),
        (address("prometheus"), "/metrics"),
    ];
    let connected = servers.each_ref().map(|(address, path)| {
        let mut stream = connect(address, &first);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        (stream, path)
    });
    volume.put("..2", second.issue("localhost", false));
    for _ in 0..2 {
        lines_until(&mut stderr, |line| line.contains(TAKEN));
    }
    for (stream, path) in connected {
        assert!(ask(stream, path).starts_with("HTTP/1.1 200 OK"));
    }
    for (address, path) in &servers {
        let answer = ask(connect(address, &second), path);
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert_eq!(ask(connect(address, &first), path), "");
    }
    child.stderr = Some(stderr.into_inner());
    signal(&child, Signal::TERM);
    ended(child);
}
