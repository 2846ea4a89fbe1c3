//! The real program to a fake of Cloud Monitoring as strict as its description: what is sent, with which credentials,
//! from which resource.

mod credentials;
mod hostile_metadata;
mod http;
mod metadata;
mod python;
mod refused;
mod tokens;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

use gcp_fake::Fake;
use rustix::process::Signal;
use tonic::transport::ServerTlsConfig;

use crate::common::alone::{KVM, alone};
use crate::common::{self, BINARY, repository, signal, spawn, text};

const SECOND: u64 = 1_000_000_000;

/// The fake of Cloud Monitoring, listening; dropped, it is gone.
struct FakeServer {
    fake: Fake,
    address: String,
    _runtime: tokio::runtime::Runtime,
}

fn fake_server(tls: Option<ServerTlsConfig>) -> FakeServer {
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let fake = Fake::new(move || u64::try_from(now()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.spawn(gcp_fake::serve::listen(fake.clone(), listener, tls));
    FakeServer {
        fake,
        address,
        _runtime: runtime,
    }
}
fn gcp_config(receiver: &str, gcp: &str, service: &str) -> String {
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

/// The settings of an exporter to a fake without TLS.
fn insecure_exporter(server: &FakeServer, more: &str) -> String {
    format!(
        "{{project: p, {more} metric: {{endpoint: '{}', use_insecure: true, prefix: custom.googleapis.com/opentelemetry}}}}",
        server.address
    )
}

#[test]
fn a_vm_host_sweeps_into_the_api_and_every_point_is_accounted_for() {
    let server = fake_server(None);
    server.fake.with(|it| it.interval = SECOND);
    let tree = repository("tests/fixtures/kvm-statsfs-liiling/sys/kernel/statsfs");
    let receiver = format!("{{root: {}, collection_interval: 1s}}", tree.display());
    let gcp = insecure_exporter(&server, "detectors: [],").replace(
        "use_insecure: true",
        "use_insecure: true, compression: gzip, min_interval: 1s",
    );
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.args(["--config", "-"]);
    let child = spawn(command, &gcp_config(&receiver, &gcp, ""));
    // Three points of some series: a baseline, and two more sweeps.
    while server
        .fake
        .with(|it| it.series.values().map(Vec::len).max())
        < Some(3)
    {
        std::thread::yield_now();
    }
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    server.fake.assert_no_violations();
    assert_eq!(
        common::count(&stderr, "points_sent"),
        server.fake.accepted_points() as u64,
        "{stderr}"
    );
    let handed =
        ["points_sent", "points_rejected", "points_dropped"].map(|it| common::count(&stderr, it));
    assert_eq!(
        common::count(&stderr, "points_handed"),
        handed.iter().sum::<u64>(),
        "{stderr}"
    );
    server.fake.with(|it| {
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

#[test]
fn the_embedded_default_goes_to_the_api_as_it_is() {
    // The default sweeps debugfs.
    let _kvm = alone(&KVM);
    let server = fake_server(None);
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    let default = repository("configs/default.yaml");
    command.args(["--once", "--config", default.to_str().unwrap(), "--set"]);
    command.arg(format!(
        "exporters={{gcp: {}}}",
        insecure_exporter(&server, "detectors: [],")
    ));
    command.args(["--set", "service.pipelines.metrics.exporters=[gcp]"]);
    let output = spawn(command, "").wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    server.fake.assert_no_violations();
    // The network's counters count since the host was booted: none is held back.
    assert!(server.fake.accepted_points() > 0, "{stderr}");
    assert_eq!(
        common::count(&stderr, "points_sent"),
        server.fake.accepted_points() as u64,
        "{stderr}"
    );
}

#[test]
fn the_demo_agents_configuration_gives_its_names() {
    let server = fake_server(None);
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    let tree = repository("tests/fixtures/kvm-statsfs-liiling/sys/kernel/statsfs");
    let config = repository("configs/gcp-demo-agent.yaml");
    command.env("STATSFS_ROOT", tree);
    command.args(["--once", "--config", config.to_str().unwrap()]);
    for set in [
        &*format!("metric.endpoint={}", server.address),
        "metric.use_insecure=true",
        "detectors=[]",
    ] {
        command.args(["--set", &format!("exporters.gcp.{set}")]);
    }
    let output = spawn(command, "").wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    server.fake.assert_no_violations();
    server.fake.with(|it| {
        let name = "custom.googleapis.com/opentelemetry/kvm/largepages{";
        assert!(
            it.series.keys().any(|key| key.starts_with(name)),
            "{stderr}"
        );
    });
}

#[test]
fn what_cannot_be_mended_ends_the_program_and_says_how_to() {
    let home = tempfile::tempdir().unwrap();
    let server = fake_server(None);
    let nowhere = "service.name: ''";
    for (gcp, service, messages) in [
        (
            format!("{{project: p, metric: {{endpoint: '{}'}}}}", server.address),
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
            insecure_exporter(&server, "").replace("project: p,", ""),
            String::new(),
            vec!["no project is known".into(), "set `project`".into()],
        ),
        (
            insecure_exporter(&server, ""),
            format!("resource: {{{nowhere}, service.instance.id: '', host.id: '', host.name: ''}}"),
            vec![
                "would have no node_id".into(),
                "set `host.id` in `service.resource`".into(),
            ],
        ),
    ] {
        let output = once(program(home.path()), &gcp_config(&tree(), &gcp, &service));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        for message in messages {
            assert!(stderr.contains(&message), "{message}: {stderr}");
        }
        let mut command = program(home.path());
        command.args(["validate", "--config", "-"]);
        let valid = spawn(command, &gcp_config(&tree(), &gcp, &service))
            .wait_with_output()
            .unwrap();
        assert!(
            valid.status.success(),
            "what is found out is not looked for by `validate`"
        );
    }
    assert_eq!(server.fake.accepted_points(), 0);
}
