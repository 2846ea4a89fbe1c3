//! A metadata server that never ends, that sends elsewhere, that says what cannot be, and one that comes late.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use super::credentials::tls_server;
use super::http::{TOKEN, http, request};
use super::{fake_server, gcp_config, insecure_exporter, once, program, tree};
use crate::common::{lines_until, peak_memory, signal, spawn, text};

/// What a program holds of an endless answer is less than this, with all that it holds anyway.
const MAX_KIB: u64 = 100 << 10;

/// A server of HTTP whose every answer goes on for as long as somebody reads it.
fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = |mut stream: TcpStream| {
        let _ = request(&stream);
        let head =
            "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\ncontent-type: application/json\r\n\r\n";
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = stream.write_all(&[b'a'; 8 << 10]);
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

/// A configuration of a pipeline to `stdout` and `gcp`.
fn beside_stdout(gcp: &str) -> String {
    let receiver = tree().replace('}', ", collection_interval: 20ms}");
    gcp_config(&receiver, gcp, "")
        .replace("  gcp: ", "  stdout: {}\n  gcp: ")
        .replace("exporters: [gcp]", "exporters: [stdout, gcp]")
}

/// What a program logs.
pub(super) struct Logs(BufReader<ChildStderr>);

impl Logs {
    pub(super) fn of(child: &mut Child) -> Logs {
        Logs(BufReader::new(child.stderr.take().unwrap()))
    }

    /// The lines up to the end.
    pub(super) fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Waits for a line with this part.
    pub(super) fn wait_for(&mut self, part: &str) -> String {
        let lines = lines_until(&mut self.0, |line| line.contains(part));
        lines.last().unwrap().clone()
    }
}

/// Reads some sweeps of what goes to standard output.
fn assert_stdout_goes_on(child: &mut Child) {
    let mut sweeps = 0;
    let mut stdout = BufReader::new(child.stdout.as_mut().unwrap());
    lines_until(&mut stdout, |line| {
        sweeps += usize::from(line.contains("kvm/largepages"));
        sweeps == 5
    });
}

#[test]
fn an_answer_without_an_end_costs_no_memory_and_no_other_pipeline() {
    let home = tempfile::tempdir().unwrap();
    let server = fake_server(None);
    let mut command = program(home.path());
    command
        .env("GCE_METADATA_HOST", endless())
        .args(["--config", "-"]);
    let gcp = insecure_exporter(&server, "").replace("project: p,", "");
    let mut child = spawn(command, &beside_stdout(&gcp));
    let mut logs = Logs::of(&mut child);
    let line = logs.wait_for("an answer of the metadata server is not used");
    assert!(
        line.contains("expected a project's id") && line.contains("more than 65536 bytes"),
        "{line}"
    );
    let line = logs.wait_for("the others go on");
    assert!(line.contains("no project is known"), "{line}");
    assert_stdout_goes_on(&mut child);
    let peak = peak_memory(&child);
    assert!(peak < MAX_KIB, "{peak} KiB");
    signal(&child, Signal::TERM);
    child.wait().unwrap();
}

#[test]
fn a_token_without_an_end_costs_no_memory() {
    for of_user in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let (server, authority) = tls_server(home.path());
        let mut command = program(home.path());
        command
            .env("SSL_CERT_FILE", authority)
            .args(["--config", "-"]);
        if of_user {
            let file = home.path().join("user.json");
            std::fs::write(&file, user_of(&endless())).unwrap();
            command.env("GOOGLE_APPLICATION_CREDENTIALS", file);
        } else {
            command.env("GCE_METADATA_HOST", endless());
        }
        let gcp = format!(
            "{{project: p, detectors: [], metric: {{endpoint: '{}'}}}}",
            server.address
        );
        let mut child = spawn(command, &beside_stdout(&gcp));
        let mut logs = Logs::of(&mut child);
        let line = logs.wait_for("there is no token");
        assert!(line.contains("more than 65536 bytes"), "{line}");
        let peak = peak_memory(&child);
        assert!(peak < MAX_KIB, "{peak} KiB");
        signal(&child, Signal::TERM);
        child.wait().unwrap();
    }
}

/// A file of a user's credentials whose tokens come from this address.
pub(super) fn user_of(address: &str) -> String {
    format!(
        r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","token_uri":"http://{address}/token"}}"#
    )
}

#[test]
fn a_redirect_is_not_followed_and_what_it_says_has_to_look_like_what_it_is() {
    let home = tempfile::tempdir().unwrap();
    let server = fake_server(None);
    let elsewhere = http(|_, _| Some((200, "my-project".into())));
    let page = "<html>\n\u{1b}[31m".to_owned() + &"log in ".repeat(2_000);
    let google = "metadata-flavor: Google\r\n";
    for (code, body, flavor, found) in [
        (302, String::new(), google, "it answers 302 Found"),
        (200, page.clone(), google, "found \\\"<html>"),
        (
            200,
            page,
            "",
            "it answers 200 OK without `Metadata-Flavor: Google`",
        ),
        (
            200,
            "my-project-1".into(),
            "",
            "without `Metadata-Flavor: Google`",
        ),
        (
            200,
            "my-project-1".into(),
            "metadata-flavor: Other\r\n",
            "without",
        ),
        (
            200,
            "../../other/project".into(),
            google,
            "found \\\"../../other",
        ),
    ] {
        let target = format!("http://{}/", elsewhere.address);
        let metadata = redirecting(code, target, flavor, body);
        let mut command = program(home.path());
        command.env("GCE_METADATA_HOST", metadata);
        let gcp = insecure_exporter(&server, "detectors_timeout: 1s,");
        let gcp = gcp.replace("project: p,", "");
        let output = once(command, &gcp_config(&tree(), &gcp, ""));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        for part in [
            "an answer of the metadata server is not used",
            "expected a project's id, such as `my-project-1`",
            found,
            "gcp: no project is known",
        ] {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
        assert!(
            stderr.len() < 16 << 10 && !stderr.contains('\u{1b}'),
            "{stderr}"
        );
    }
    assert!(elsewhere.requests.lock().unwrap().is_empty());
}

/// A server that answers all requests with this and these headers, and names this as the place to go to.
pub(super) fn redirecting(code: u16, target: String, flavor: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = request(&stream);
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {code} X\r\nlocation: {target}\r\n{flavor}content-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    address
}

#[test]
fn one_that_comes_late_is_found_and_meanwhile_the_others_go_on() {
    static IS_THERE: AtomicBool = AtomicBool::new(false);
    let home = tempfile::tempdir().unwrap();
    let server = fake_server(None);
    let metadata = http(|path, _| {
        let value = match path.strip_prefix("/computeMetadata/v1/")? {
            _ if !IS_THERE.load(Ordering::Relaxed) => return Some((503, String::new())),
            "project/project-id" => "my-project",
            "instance/zone" => "projects/12/zones/europe-west1-b",
            "instance/id" => "4242",
            _ => return Some((404, String::new())),
        };
        Some((200, value.into()))
    });
    let mut command = program(home.path());
    command
        .env("GCE_METADATA_HOST", &metadata.address)
        .args(["--config", "-"]);
    let more = "detectors_timeout: 1s, retry_on_failure: {initial_interval: 100ms},";
    let gcp = insecure_exporter(&server, more).replace("project: p,", "");
    let mut child = spawn(command, &beside_stdout(&gcp));
    let mut logs = Logs::of(&mut child);
    let line = logs.wait_for("did not answer in time");
    assert!(line.contains("503"), "{line}");
    logs.wait_for("the others go on");
    assert_stdout_goes_on(&mut child);
    IS_THERE.store(true, Ordering::Relaxed);
    logs.wait_for("sending works again");
    signal(&child, Signal::TERM);
    child.wait().unwrap();
    server.fake.with(|it| {
        let resource = r#"gce_instance{"instance_id": "4242", "zone": "europe-west1-b"}"#;
        assert!(it.series.keys().all(|key| key.ends_with(resource)));
        let project = "name=projects/my-project";
        assert_eq!(
            it.metadata[0].get("x-goog-request-params").unwrap(),
            project
        );
    });
}

#[test]
fn credentials_that_come_late_are_found_and_meanwhile_the_others_go_on() {
    let home = tempfile::tempdir().unwrap();
    let (server, authority) = tls_server(home.path());
    let file = home.path().join("user.json");
    let mut command = program(home.path());
    command
        .env("SSL_CERT_FILE", authority)
        .env("GOOGLE_APPLICATION_CREDENTIALS", &file)
        .args(["--config", "-"]);
    let gcp = format!(
        "{{project: p, detectors: [], retry_on_failure: {{initial_interval: 100ms}}, metric: {{endpoint: '{}'}}}}",
        server.address
    );
    let mut child = spawn(command, &beside_stdout(&gcp));
    let mut logs = Logs::of(&mut child);
    let line = logs.wait_for("the others go on");
    assert!(line.contains("the credentials in"), "{line}");
    assert_stdout_goes_on(&mut child);
    let tokens = http(|_, _| Some((200, TOKEN.into())));
    std::fs::write(file, user_of(&tokens.address)).unwrap();
    logs.wait_for("sending works again");
    signal(&child, Signal::TERM);
    child.wait().unwrap();
    assert!(server.fake.accepted_points() > 0);
}

#[test]
fn where_no_exporter_works_the_program_ends() {
    let home = tempfile::tempdir().unwrap();
    let server = fake_server(None);
    let without_project = insecure_exporter(&server, "").replace("project: p,", "");
    for (gcp, why) in [
        ("{project: p}", "no credentials were found"),
        (&*without_project, "no project is known"),
    ] {
        let config = gcp_config(&tree(), gcp, "")
            .replace("  gcp: ", &format!("  gcp/two: {gcp}\n  gcp: "))
            .replace("exporters: [gcp]", "exporters: [gcp, gcp/two]");
        let mut command = program(home.path());
        command.args(["--config", "-"]);
        let output = spawn(command, &config).wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}
