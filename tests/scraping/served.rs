//! Where the exporter is served: by TLS to those who may, and by a socket in the file system.

use std::io::BufReader;
use std::os::unix::net::UnixStream;

use super::http::get_by;
use super::{Prometheus, config};
use crate::common::authority::{Authority, Files};
use crate::common::{assert_runs, collector, end, file, free_address, lines_until};

#[test]
fn a_real_prometheus_scrapes_by_tls_with_a_certificate_of_its_own_and_none_without() {
    let test = "a_real_prometheus_scrapes_by_tls_with_a_certificate_of_its_own_and_none_without";
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "net/eth0/rx_bytes");
    let (ours, files) = (Authority::new("ours"), Files::new());
    let ca = files.write("ca.pem", &ours.pem);
    let [server, client] = ["localhost", "client"].map(|name| {
        let (pem, key) = ours.issue(name, false);
        [("pem", pem), ("key", key)].map(|(end, text)| files.write(&format!("{name}.{end}"), &text))
    });
    let tls = format!(
        "tls: {{cert_file: {}, key_file: {}, client_ca_file: {ca}}}",
        server[0], server[1]
    );
    let address = free_address();
    let trust = format!("ca_file: {ca}, server_name: localhost");
    let job = |name: &str, identity: &str| {
        format!(
            "- job_name: {name}\n  scheme: https\n  tls_config: {{{trust}{identity}}}\n  static_configs: [{{targets: ['{address}']}}]\n"
        )
    };
    let identity = format!(", cert_file: {}, key_file: {}", client[0], client[1]);
    let jobs = [job("known", &identity), job("stranger", "")].concat();
    let global = "global: {scrape_interval: 1s}\nscrape_configs:\n";
    let Some(prometheus) = Prometheus::with(test, &format!("{global}{jobs}")) else {
        return;
    };
    let config = config(tree.path(), &address.to_string(), &tls);
    let summary = "service: {telemetry: {logs: {summary_interval: 1s}}, ";
    let mut child = collector(&config.replace("service: {", summary), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    // Scrapes that come before it listens fail too.
    let logs = lines_until(&mut stderr, |line| line.contains("connections_cut="));
    assert!(logs.iter().any(|it| it.contains("tls=true")), "{logs:?}");
    assert!(logs.last().unwrap().contains("(tls="), "{logs:?}");
    prometheus.wait_for("net_rx_bytes_total{job=\"known\"}", "1");
    prometheus.wait_for("up{job=\"known\"}", "1");
    prometheus.wait_for("up{job=\"stranger\"}", "0");
    drop(prometheus);
    child.stderr = Some(stderr.into_inner());
    end(child);
}

#[test]
fn it_is_served_by_a_socket_in_the_file_system_whoever_is_asked_for() {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "net/eth0/rx_bytes");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock");
    let endpoint = format!("unix:{}", socket.display());
    let mut child = collector(&config(tree.path(), &endpoint, ""), &[]);
    let scrape = || {
        let stream = UnixStream::connect(&socket).ok()?;
        let answer = get_by(stream, "any.example", "/metrics", &[]).ok()?;
        (answer.status == 200).then(|| answer.body().to_owned())
    };
    while scrape().is_none_or(|it| !it.contains("net_rx_bytes_total{")) {
        assert_runs(&mut child);
        std::thread::yield_now();
    }
    end(child);
    assert!(!socket.exists());
}
