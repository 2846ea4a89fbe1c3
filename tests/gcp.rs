//! The real program to a Cloud Monitoring that is as strict as it is described: what it sends, who it is, where it is.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "../exporters/gcp/tests/gcp/fake/mod.rs"]
mod fake;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use common::{BINARY, has, lacks, repository, signal, spawn, text};
use fake::Fake;
use rustix::process::Signal;
use tonic::transport::{Identity, ServerTlsConfig};

const SECOND: u64 = 1_000_000_000;

/// The far side, listening; dropped, it is gone.
struct Far {
    fake: Fake,
    address: String,
    _runtime: tokio::runtime::Runtime,
}

fn far(tls: Option<ServerTlsConfig>) -> Far {
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let fake = Fake::new(move || u64::try_from(now()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.spawn(fake::serve::listen(fake.clone(), listener, tls));
    Far {
        fake,
        address,
        _runtime: runtime,
    }
}

/// A server of metadata, or of tokens: what it answers by path, and what it was asked.
struct Http {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn http(answer: impl Fn(&str, usize) -> Option<(u16, String)> + Send + 'static) -> Http {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut held: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (path, body) = request(&stream);
            let earlier = noted
                .lock()
                .unwrap()
                .iter()
                .filter(|it| it.starts_with(&path))
                .count();
            noted.lock().unwrap().push(format!("{path} {body}"));
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
    Http { address, asked }
}

/// The path and the body of a request.
fn request(stream: &TcpStream) -> (String, String) {
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

const TOKEN: &str = r#"{"access_token":"the-token","expires_in":3600,"token_type":"Bearer"}"#;

/// A metadata server of a machine, with these further keys.
fn machine(more: &'static [(&'static str, &'static str)]) -> Http {
    http(move |path, _| {
        let key = path.strip_prefix("/computeMetadata/v1/")?;
        let known = [
            ("project/project-id", "p-1"),
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

fn to(receiver: &str, gcp: &str, service: &str) -> String {
    common::config(receiver, "metadata: {}; batch: {}", "{}")
        .replace("stdout: {}", &format!("gcp: {gcp}"))
        .replace("[stdout]", "[gcp]")
        .replace("service:\n", &format!("service:\n  {service}\n"))
}

/// A tree with gauges: a counter whose start nobody knows has no point at the first sweep.
fn tree() -> String {
    format!(
        "{{root: {}}}",
        repository("tests/fixtures/kvm-statsfs-liiling/sys/kernel/statsfs").display()
    )
}

/// The program, in a home of its own.
fn program(home: &Path) -> Command {
    let mut command = Command::new(BINARY);
    for name in [
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GCE_METADATA_HOST",
        "GOOGLE_CLOUD_PROJECT",
        "HTTPS_PROXY",
        "HTTP_PROXY",
    ] {
        command.env_remove(name);
    }
    command.env("HOME", home).env("NO_PROXY", "*");
    command
}

fn once(mut command: Command, config: &str) -> Output {
    command.args(["--once", "--config", "-"]);
    spawn(command, config).wait_with_output().unwrap()
}

/// The settings of an exporter to a plain far side.
fn plain(far: &Far, more: &str) -> String {
    format!(
        "{{project: p, {more} metric: {{endpoint: '{}', use_insecure: true, prefix: custom.googleapis.com/opentelemetry}}}}",
        far.address
    )
}

#[test]
fn a_vm_host_sweeps_into_the_api_and_every_point_is_accounted_for() {
    let far = far(None);
    far.fake.with(|it| it.interval = SECOND);
    let tree = repository("tests/fixtures/kvm-statsfs-liiling/sys/kernel/statsfs");
    let receiver = format!("{{root: {}, collection_interval: 1s}}", tree.display());
    let gcp = plain(&far, "detectors: [],").replace(
        "use_insecure: true",
        "use_insecure: true, compression: gzip, min_interval: 1s",
    );
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.args(["--config", "-"]);
    let child = spawn(command, &to(&receiver, &gcp, ""));
    // Three points of some series: a baseline, and two more sweeps.
    while far.fake.with(|it| it.series.values().map(Vec::len).max()) < Some(3) {
        std::thread::yield_now();
    }
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    far.fake.assert_obeyed();
    assert_eq!(
        common::count(&told, "points_sent"),
        far.fake.taken() as u64,
        "{told}"
    );
    let handed =
        ["points_sent", "points_rejected", "points_dropped"].map(|it| common::count(&told, it));
    assert_eq!(
        common::count(&told, "points_handed"),
        handed.iter().sum::<u64>(),
        "{told}"
    );
    far.fake.with(|it| {
        let key = it.series.keys().next().unwrap();
        assert!(
            key.starts_with("custom.googleapis.com/opentelemetry/kvm/"),
            "{key}"
        );
        assert!(
            key.contains(
                "of generic_task{\"job\": \"statsfs-collector\", \"location\": \"global\""
            ),
            "{key}"
        );
        let agent = it.metadata[0].get("user-agent").unwrap().to_str().unwrap();
        assert!(
            agent.starts_with(&format!(
                "statsfs-collector/{} (linux/",
                env!("CARGO_PKG_VERSION")
            )),
            "{agent}"
        );
        assert!(
            it.metadata[0].get("authorization").is_none(),
            "insecure: no credentials"
        );
        assert_eq!(
            it.metadata[0].get("x-goog-request-params").unwrap(),
            "name=projects/p"
        );
    });
}

/// A far side by TLS, and its authority's file.
fn secure(home: &Path) -> (Far, std::path::PathBuf) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let file = home.join("ca.pem");
    std::fs::write(&file, parameters.self_signed(&key).unwrap().pem()).unwrap();
    let authority = rcgen::Issuer::new(parameters, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = own.signed_by(&key, &authority).unwrap().pem();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(cert, key.serialize_pem()));
    (far(Some(tls)), file)
}

/// Sweeps once with these credentials; what was told, and the `authorization` of the first request.
fn with_credentials(
    prepare: impl FnOnce(&mut Command, &Path),
    more: &str,
) -> (String, Option<String>, Vec<String>) {
    let home = tempfile::tempdir().unwrap();
    let (far, authority) = secure(home.path());
    let mut command = program(home.path());
    command.env("SSL_CERT_FILE", authority);
    prepare(&mut command, home.path());
    let gcp = format!(
        "{{{more} detectors_timeout: 1s, retry_on_failure: {{initial_interval: 100ms, max_interval: 1s}}, metric: {{endpoint: '{}'}}}}",
        far.address
    );
    let output = once(command, &to(&tree(), &gcp, ""));
    let header = far.fake.with(|it| {
        let first = it.metadata.first()?.get("authorization")?;
        Some(first.to_str().unwrap().to_owned())
    });
    let keys = far.fake.with(|it| it.series.keys().cloned().collect());
    (text(&output.stderr), header, keys)
}

#[test]
fn an_authorized_user_is_found_by_name_and_in_gclouds_own_place() {
    for named in [true, false] {
        let tokens = http(|_, _| Some((200, TOKEN.into())));
        let user = format!(
            r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","quota_project_id":"q","token_uri":"http://{}/token"}}"#,
            tokens.address
        );
        let (told, header, _) = with_credentials(
            |command, home| {
                let path = if named {
                    home.join("user.json")
                } else {
                    home.join(".config/gcloud/application_default_credentials.json")
                };
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &user).unwrap();
                if named {
                    command.env("GOOGLE_APPLICATION_CREDENTIALS", path);
                }
            },
            "",
        );
        assert_eq!(header.as_deref(), Some("Bearer the-token"), "{told}");
        assert!(
            tokens.asked.lock().unwrap()[0].contains("refresh_token"),
            "{told}"
        );
    }
}

#[test]
fn a_service_account_signs_for_itself() {
    if !has("openssl") {
        return lacks("a_service_account_signs_for_itself", "openssl");
    }
    let key = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
        .output()
        .unwrap();
    let account = format!(
        r#"{{"type":"service_account","project_id":"of-the-key","private_key_id":"k","private_key":{},"client_email":"a@p.iam.gserviceaccount.com"}}"#,
        serde_json::Value::from(text(&key.stdout))
    );
    let (told, header, _) = with_credentials(
        |command, home| {
            std::fs::write(home.join("key.json"), account).unwrap();
            command.env("GOOGLE_APPLICATION_CREDENTIALS", home.join("key.json"));
        },
        "",
    );
    assert!(
        header.is_some_and(|it| it.starts_with("Bearer ey") && it.matches('.').count() == 2),
        "{told}"
    );
}

#[test]
fn an_external_account_exchanges_its_token() {
    let tokens = http(|_, _| {
        Some((200, r#"{"access_token":"the-token","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","expires_in":3600,"token_type":"Bearer"}"#.into()))
    });
    let (told, header, _) = with_credentials(
        |command, home| {
            std::fs::write(home.join("subject"), "subject-token").unwrap();
            let account = format!(
                r#"{{"type":"external_account","audience":"//iam/x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"http://{}/v1/token","credential_source":{{"file":"{}"}}}}"#,
                tokens.address,
                home.join("subject").display()
            );
            std::fs::write(home.join("external.json"), account).unwrap();
            command.env("GOOGLE_APPLICATION_CREDENTIALS", home.join("external.json"));
        },
        "project: p,",
    );
    assert_eq!(header.as_deref(), Some("Bearer the-token"), "{told}");
    assert!(
        tokens.asked.lock().unwrap()[0].contains("subject-token"),
        "{told}"
    );
}

#[test]
fn a_machine_of_googles_knows_its_account_its_project_and_where_it_is() {
    for (more, resource) in [
        (
            &[][..],
            r#"gce_instance{"instance_id": "4242", "zone": "europe-west1-b"}"#,
        ),
        (
            &[
                ("instance/attributes/cluster-name", "c"),
                ("instance/attributes/cluster-location", "europe-west1"),
            ][..],
            r#"k8s_node{"cluster_name": "c", "location": "europe-west1", "node_name": "node-7"}"#,
        ),
    ] {
        let metadata = machine(more);
        let (told, header, keys) = with_credentials(
            |command, _| {
                command.env("GCE_METADATA_HOST", &metadata.address);
            },
            "",
        );
        assert_eq!(header.as_deref(), Some("Bearer the-token"), "{told}");
        assert!(
            keys.iter().all(|key| key.ends_with(resource)) && !keys.is_empty(),
            "{keys:?} {told}"
        );
    }
}

#[test]
fn a_metadata_server_that_does_not_answer_holds_up_nothing_but_the_queue() {
    let far = far(None);
    let silent = http(|_, _| None);
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.env("GCE_METADATA_HOST", &silent.address);
    let output = once(
        command,
        &to(&tree(), &plain(&far, "detectors_timeout: 300ms,"), ""),
    );
    let told = text(&output.stderr);
    assert!(
        output.status.success() && told.contains("did not answer within 300ms"),
        "{told}"
    );
    far.fake.assert_obeyed();
    let keys: Vec<String> = far.fake.with(|it| it.series.keys().cloned().collect());
    assert!(
        keys.iter().all(|key| key.contains("of generic_task{")) && !keys.is_empty(),
        "{told}"
    );
}

#[test]
fn a_token_that_cannot_be_had_at_first_is_asked_for_again() {
    let tokens = http(|_, earlier| {
        Some(if earlier == 0 {
            (400, r#"{"error":"invalid_grant"}"#.into())
        } else {
            (200, TOKEN.into())
        })
    });
    let user = format!(
        r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","token_uri":"http://{}/token"}}"#,
        tokens.address
    );
    let (told, header, _) = with_credentials(
        |command, home| {
            std::fs::write(home.join("user.json"), user).unwrap();
            command.env("GOOGLE_APPLICATION_CREDENTIALS", home.join("user.json"));
        },
        "project: p,",
    );
    assert_eq!(header.as_deref(), Some("Bearer the-token"), "{told}");
    assert!(
        told.contains("there is no token: ") && told.contains("there is a token again"),
        "{told}"
    );
}

#[test]
fn a_token_is_fetched_anew_before_it_ends() {
    let home = tempfile::tempdir().unwrap();
    let (far, authority) = secure(home.path());
    far.fake.with(|it| it.interval = SECOND);
    // Four minutes before its end a token is fetched anew: that is in a second.
    let tokens = http(|_, earlier| {
        Some((
            200,
            format!(
                r#"{{"access_token":"token-{earlier}","expires_in":241,"token_type":"Bearer"}}"#
            ),
        ))
    });
    let user = format!(
        r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","token_uri":"http://{}/token"}}"#,
        tokens.address
    );
    std::fs::write(home.path().join("user.json"), user).unwrap();
    let mut command = program(home.path());
    command
        .args(["--config", "-"])
        .env("SSL_CERT_FILE", authority);
    command.env(
        "GOOGLE_APPLICATION_CREDENTIALS",
        home.path().join("user.json"),
    );
    let receiver = tree().replace('}', ", collection_interval: 1s}");
    let gcp = format!(
        "{{project: p, metric: {{endpoint: '{}', min_interval: 1s}}}}",
        far.address
    );
    let child = spawn(command, &to(&receiver, &gcp, ""));
    let is_new = |it: &tonic::metadata::MetadataMap| {
        it.get("authorization")
            .is_some_and(|it| it == "Bearer token-1")
    };
    while !far.fake.with(|it| it.metadata.iter().any(is_new)) {
        std::thread::yield_now();
    }
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    far.fake.assert_obeyed();
}

#[test]
fn what_cannot_be_mended_ends_the_program_and_says_how_to() {
    let home = tempfile::tempdir().unwrap();
    let far = far(None);
    let nowhere = "service.name: ''";
    for (gcp, service, said) in [
        (
            format!("{{project: p, metric: {{endpoint: '{}'}}}}", far.address),
            String::new(),
            vec![
                "no credentials were found: GOOGLE_APPLICATION_CREDENTIALS is not set".to_owned(),
                home.path()
                    .join(".config/gcloud/application_default_credentials.json is not there")
                    .display()
                    .to_string(),
                "there is no metadata server".to_owned(),
            ],
        ),
        (
            plain(&far, "").replace("project: p,", ""),
            String::new(),
            vec!["no project is known".into(), "set `project`".into()],
        ),
        (
            plain(&far, ""),
            format!("resource: {{{nowhere}, service.instance.id: '', host.id: '', host.name: ''}}"),
            vec![
                "would have no node_id".into(),
                "set `host.id` in `service.resource`".into(),
            ],
        ),
    ] {
        let output = once(program(home.path()), &to(&tree(), &gcp, &service));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        for said in said {
            assert!(told.contains(&said), "{said}: {told}");
        }
        let mut command = program(home.path());
        command.args(["validate", "--config", "-"]);
        let valid = spawn(command, &to(&tree(), &gcp, &service))
            .wait_with_output()
            .unwrap();
        assert!(
            valid.status.success(),
            "what is found out is not looked for by `validate`"
        );
    }
    assert_eq!(far.fake.taken(), 0);
}
