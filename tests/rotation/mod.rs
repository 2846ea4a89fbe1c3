//! Files of `tls` and of headers change while the program runs: the new ones are taken up, nothing is lost, and what cannot
//! be used leaves the old ones as they are.

mod servers;

use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::process::{Child, ChildStderr};

use rustix::process::Signal;
use tonic::transport::{Certificate, ServerTlsConfig};

use crate::common::authority::Authority;
use crate::common::peer::{INSECURE, Peer, assert_accounted, otlp_config};
use crate::common::{assert_fault, collector, count, ended, free_address, lines_until, signal};

const TAKEN: &str = "changed files are used from now on";
const REFUSED: &str = "changed files cannot be used; what was read of them before goes on";

/// A tree with one file, the program that sweeps it, and files that the program is told of.
struct Running {
    tree: tempfile::TempDir,
    files: tempfile::TempDir,
    child: Child,
    stderr: BufReader<ChildStderr>,
    value: i64,
}

impl Running {
    /// `config` is given the receiver.
    fn start(files: tempfile::TempDir, config: impl FnOnce(&str) -> String) -> Running {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("s")).unwrap();
        fs::write(tree.path().join("s/c"), "0\n").unwrap();
        let receiver = format!(
            "{{collection_interval: 20ms, root: {}}}",
            tree.path().display()
        );
        let mut child = collector(&config(&receiver), &[]);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running {
            tree,
            files,
            child,
            stderr,
            value: 0,
        }
    }

    /// A value that is read from now on arrives.
    fn assert_arrives(&mut self, peer: &Peer) {
        self.value += 1;
        let next = self.tree.path().join("next");
        fs::write(&next, format!("{}\n", self.value)).unwrap();
        fs::rename(next, self.tree.path().join("s/c")).unwrap();
        while peer.values().last() != Some(&self.value) {
            std::thread::yield_now();
        }
    }

    /// Puts a file in the place of another one, whole.
    fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        replace(&self.files.path().join(name), content);
    }

    /// All lines up to the one with this.
    fn logs_until(&mut self, text: &str) -> Vec<String> {
        lines_until(&mut self.stderr, |line| line.contains(text))
    }

    /// The rest of what it logs.
    fn end(mut self) -> String {
        signal(&self.child, Signal::TERM);
        self.child.stderr = Some(self.stderr.into_inner());
        ended(self.child)
    }
}

fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let next = path.with_extension("next");
    fs::write(&next, content).unwrap();
    fs::rename(next, path).unwrap();
}

/// A server of this authority that wants a client's certificate of it.
fn mutual(of: &Authority) -> ServerTlsConfig {
    let server = of.server("localhost");
    server.client_ca_root(Certificate::from_pem(&of.pem))
}

/// The files of a client of this authority, by their names.
fn client_files(of: &Authority) -> [(&'static str, String); 3] {
    let (certificate, key) = of.issue("client", false);
    [
        ("ca.pem", of.pem.clone()),
        ("client.pem", certificate),
        ("client.key", key),
    ]
}

/// The settings of `tls` with files in this folder.
fn tls(folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "tls: {{ca_file: {}, cert_file: {}, key_file: {}, server_name_override: localhost}}",
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    )
}

#[test]
fn a_new_authority_with_new_certificates_on_both_sides_is_taken_up_and_nothing_is_lost() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let (peer, address, files) = (
        Peer::default(),
        free_address(),
        tempfile::tempdir().unwrap(),
    );
    for (name, content) in client_files(&first) {
        fs::write(files.path().join(name), content).unwrap();
    }
    let server = peer.serve(address, Some(mutual(&first)), true);
    let settings = tls(files.path());
    let mut running = Running::start(files, |receiver| {
        otlp_config(receiver, &address.to_string(), &settings)
    });
    running.assert_arrives(&peer);
    for (name, content) in client_files(&second) {
        running.replace(name, content);
    }
    // The old certificate with the new key, and the other way round, are in no line.
    let line = running.logs_until(TAKEN);
    assert!(line.last().unwrap().contains("ca.pem, "), "{line:?}");
    running.assert_arrives(&peer);
    drop(server);
    let _server = peer.serve(address, Some(mutual(&second)), true);
    running.assert_arrives(&peer);
    let logs = running.end();
    assert!(!logs.contains(REFUSED), "{logs}");
    assert_accounted(&logs);
    assert_eq!(count(&logs, "points_queued"), 0, "{logs}");
    assert_fault(
        "certificates, keys and authorities of both sides are exchanged",
        "nothing: connections that are there go on, new ones have the new files",
        &logs,
        &[],
    );
}

#[test]
fn a_half_written_file_is_warned_of_once_and_the_old_one_goes_on_until_it_is_whole() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let (peer, address, files) = (
        Peer::default(),
        free_address(),
        tempfile::tempdir().unwrap(),
    );
    let ca = files.path().join("ca.pem");
    fs::write(&ca, &first.pem).unwrap();
    let server = peer.serve(address, Some(first.server("localhost")), true);
    let settings = format!(
        "tls: {{ca_file: {}, server_name_override: localhost}}",
        ca.display()
    );
    let mut running = Running::start(files, |receiver| {
        otlp_config(receiver, &address.to_string(), &settings)
    });
    running.assert_arrives(&peer);
    // Into the very file, as an editor may do it.
    fs::write(&ca, &second.pem[..second.pem.len() / 2]).unwrap();
    let lines = running.logs_until(REFUSED);
    let line = lines.last().unwrap();
    assert!(
        line.contains("component=\"otlp\"")
            && line.contains("tls.ca_file: ")
            && line.contains("ca.pem is broken PEM"),
        "{line}"
    );
    drop(server);
    let server = peer.serve(address, Some(first.server("localhost")), true);
    running.assert_arrives(&peer);
    fs::write(&ca, &second.pem[..second.pem.len() / 2 + 7]).unwrap();
    fs::remove_file(&ca).unwrap();
    fs::write(&ca, &second.pem).unwrap();
    let lines = running.logs_until(TAKEN);
    assert!(!lines.iter().any(|it| it.contains(REFUSED)), "{lines:?}");
    drop(server);
    let _server = peer.serve(address, Some(second.server("localhost")), true);
    running.assert_arrives(&peer);
    let logs = running.end();
    assert!(!logs.contains(REFUSED), "{logs}");
    assert_accounted(&logs);
    assert_fault(
        "a file of `tls` is half-written, or gone",
        "nothing: what was read before goes on, until it is whole",
        &logs,
        &[],
    );
}

#[test]
fn a_connection_goes_on_whatever_becomes_of_the_authority_by_which_it_was_made() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let (peer, files) = (Peer::default(), tempfile::tempdir().unwrap());
    fs::write(files.path().join("ca.pem"), &first.pem).unwrap();
    let server = peer.serve(free_address(), Some(first.server("localhost")), true);
    let settings = format!(
        "tls: {{ca_file: {}, server_name_override: localhost}}",
        files.path().join("ca.pem").display()
    );
    let mut running = Running::start(files, |receiver| {
        otlp_config(receiver, &server.address.to_string(), &settings)
    });
    running.assert_arrives(&peer);
    running.replace("ca.pem", &second.pem);
    running.logs_until(TAKEN);
    running.assert_arrives(&peer);
    let logs = running.end();
    assert!(!logs.contains("sending fails"), "{logs}");
}

#[test]
fn a_header_that_is_a_file_is_sent_as_the_file_is_and_is_in_no_message() {
    let (peer, files) = (Peer::default(), tempfile::tempdir().unwrap());
    let token = files.path().join("token");
    fs::write(&token, "first\n").unwrap();
    let server = peer.serve(free_address(), None, true);
    let settings = format!(
        "{INSECURE}, headers: {{x-token: '${{file:{}}}'}}",
        token.display()
    );
    let mut running = Running::start(files, |receiver| {
        otlp_config(receiver, &server.address.to_string(), &settings)
    });
    let sent = |token: &str| peer.headers.lock().unwrap().last().unwrap().contains(token);
    running.assert_arrives(&peer);
    assert!(sent("first"));
    running.replace("token", "hunter2-töken\n");
    let line = running.logs_until(REFUSED).pop().unwrap();
    assert!(
        line.contains("headers.x-token: a header's value is printable ASCII"),
        "{line}"
    );
    running.assert_arrives(&peer);
    assert!(sent("first"));
    running.replace("token", "hunter3\n");
    running.logs_until(TAKEN);
    running.assert_arrives(&peer);
    assert!(sent("hunter3"));
    let logs = running.end();
    assert!(
        !logs.contains("hunter") && !line.contains("hunter"),
        "{logs}"
    );
    assert_accounted(&logs);
}

#[test]
fn what_inotify_does_not_tell_is_noticed_by_the_clock() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let (peer, files, address) = (
        Peer::default(),
        tempfile::tempdir().unwrap(),
        free_address(),
    );
    let below = |name: &str| files.path().join(name);
    for (of, folder) in [(&first, "a/b"), (&second, "new/b")] {
        fs::create_dir_all(below(folder)).unwrap();
        fs::write(below(folder).join("ca.pem"), &of.pem).unwrap();
    }
    let settings = format!(
        "tls: {{ca_file: {}, server_name_override: localhost, reload_interval: 100ms}}",
        below("a/b/ca.pem").display()
    );
    let (a, old, new) = (below("a"), below("old"), below("new"));
    let _server = peer.serve(address, Some(second.server("localhost")), true);
    let mut running = Running::start(files, |receiver| {
        otlp_config(receiver, &address.to_string(), &settings)
    });
    running.logs_until("sending fails");
    // Neither the file nor its directory has changed.
    fs::rename(&a, old).unwrap();
    fs::rename(new, a).unwrap();
    running.logs_until(TAKEN);
    running.assert_arrives(&peer);
    running.end();
}
