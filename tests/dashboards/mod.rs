//! `deploy/grafana`: dashboards that Grafana takes, each of whose queries gives a result.

mod queries;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::Value;

use self::queries::{DATASOURCE, dashboards, queries};
use crate::alerts::{known_metrics, own_metrics};
use crate::common::{collector, end, free_address, lacks, repository};
use crate::kvm_statistics::needs::kvm;
use crate::kvm_statistics::vmm::Vmm;
use crate::scraping::http::get;
use crate::scraping::server::Prometheus;
use crate::stuck::fuse::HangingFilesystem;

fn list(of: &Value) -> &[Value] {
    of.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn a_dashboard_is_one_that_grafana_10_imports() {
    for (name, dashboard) in dashboards() {
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 38, "{name}");
        for key in ["uid", "title", "description"] {
            assert!(dashboard[key].as_str().is_some_and(|it| !it.is_empty()));
        }
        // Which Prometheus is asked is chosen at its top.
        let variables = list(&dashboard["templating"]["list"]);
        assert_eq!(variables[0]["name"], "DS_PROMETHEUS", "{name}");
        assert_eq!(variables[0]["type"], "datasource", "{name}");
        let mut ids = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            let title = &panel["title"];
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {title}");
            let place = &panel["gridPos"];
            let [x, width] = ["x", "w"].map(|it| place[it].as_u64().unwrap());
            assert!(x + width <= 24, "{name}: {title}");
            if panel["type"] == "row" {
                continue;
            }
            assert!(!list(&panel["targets"]).is_empty(), "{name}: {title}");
            for asked in list(&panel["targets"]).iter().chain([panel]) {
                assert_eq!(asked["datasource"]["uid"], DATASOURCE, "{name}: {title}");
            }
        }
    }
}

#[test]
fn a_rate_is_over_the_interval_that_grafana_chooses_and_a_metric_one_that_the_program_has() {
    let known = known_metrics();
    for (name, dashboard) in dashboards() {
        let text = dashboard.to_string();
        assert_eq!(
            text.matches("rate(").count(),
            text.matches("[$__rate_interval]").count()
        );
        let unknown: Vec<_> = own_metrics(&text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}

/// The program with all that a dashboard shows: a VM, the interfaces, a file that hangs, one that fails, two metrics of
/// which one is dropped; and its own telemetry.
fn config(files: &HangingFilesystem, exporter: SocketAddr, telemetry: SocketAddr) -> String {
    let (host, port) = (telemetry.ip(), telemetry.port());
    format!(
        "receivers:
  kvm: {{sources: [stats_fd], collection_interval: 1s}}
  statsfs/net: {{root: /sys/class/net, subsystem: net, layout: '{{device}}/statistics/{{metric}}', follow_links: true, collection_interval: 1s}}
  statsfs/odd: {{root: {}, collection_interval: 1s, timeout: 200ms}}
processors: {{metadata: {{}}, batch: {{}}}}
exporters:
  prometheus: {{endpoint: '{exporter}', without_scope_info: true}}
service:
  telemetry: {{metrics: {{level: normal, readers: [{{pull: {{exporter: {{prometheus: {{host: {host}, port: {port}}}}}}}}}]}}}}
  pipelines:
    metrics: {{receivers: [kvm, statsfs/net, statsfs/odd], processors: [metadata, batch], exporters: [prometheus]}}
",
        files.root().display()
    )
}

#[test]
fn every_query_gives_a_result_of_a_real_run_and_the_alerts_see_its_faults() {
    let test = "every_query_gives_a_result_of_a_real_run_and_the_alerts_see_its_faults";
    let Some(_kvm) = kvm() else { return };
    let files = ["s/d/hangs", "s/d/fails", "s/d/a-b", "s/d/a_b"].map(String::from);
    let Some(files) = HangingFilesystem::mount(&files) else {
        return lacks(test, "/dev/fuse, and root or fusermount3");
    };
    files.hang("s/d/hangs");
    files.fail("s/d/fails", fuser::Errno::EIO);
    let mut vmm = Vmm::start(&[]);
    vmm.vm("vm('guest', 2, keep_vm=True, guest=True)");
    let (exporter, telemetry) = (free_address(), free_address());
    let program = config(&files, exporter, telemetry);
    // The configuration that an operator copies, of these addresses, and faster.
    let alerts = repository("deploy/prometheus/alerts.yml");
    let config = std::fs::read_to_string(repository("deploy/prometheus/prometheus.yml")).unwrap();
    let config = config
        .replace("localhost:9464", &exporter.to_string())
        .replace("localhost:8888", &telemetry.to_string())
        .replace("interval: 15s", "interval: 1s")
        .replace("alerts.yml", alerts.to_str().unwrap());
    let Some(prometheus) = Prometheus::with(test, &config) else {
        return;
    };
    let child = collector(&program, &[]);
    prometheus.wait_for("sum(up)", "2");
    prometheus.wait_for_any("kvm_exits_total");
    // What it does is seen by the difference of two scrapes.
    vmm.ask("vms['guest'].run(50)");
    prometheus.wait_for_any("rate(kvm_halt_exits_total[30s]) > 0");
    for query in queries() {
        prometheus.wait_for_any(&query);
    }
    for alert in ["StatsfsCollectorFilesStuck", "StatsfsCollectorLosesPoints"] {
        prometheus.wait_for_any(&format!("ALERTS{{alertname=\"{alert}\"}}"));
    }
    assert_eq!(get(telemetry, "/metrics", &[]).status, 200);
    files.answer_all();
    drop(prometheus);
    end(child);
}
