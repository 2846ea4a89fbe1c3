//! The program's own telemetry on the real binary: scraped, sent to a real Collector, and within the pipelines.

mod scraped;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use self::scraped::{Exposed, Scraped, assert_documented, documented};
use crate::common::{
    self, assert_runs, collector, count, free_address, lines_until, read_until, repository, run,
    signal, spawn, text,
};
use crate::otelcol::process::Otelcol;
use crate::prometheus::has_promtool;

/// 72 series that are read once, to standard output and to a peer that is not there.
fn config(telemetry: &str) -> String {
    format!(
        "receivers: {{statsfs: {{root: {}, collection_interval: 1h}}}}\n\
         processors: {{batch: {{}}}}\n\
         exporters: {{stdout: {{format: json}}, otlp: {{endpoint: '{}', tls: {{insecure: true}}, retry_on_failure: {{enabled: false}}}}}}\n\
         service:\n  telemetry: {{metrics: {{{telemetry}}}}}\n  pipelines: {{metrics: {{receivers: [statsfs], processors: [batch], exporters: [stdout, otlp]}}}}\n",
        repository("tests/fixtures/net-statsfs/sys/kernel/stats").display(),
        free_address(),
    )
}

fn pull(level: &str, more: &str) -> String {
    format!(
        "level: {level}, readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0, without_scope_info: true{more}}}}}}}}}]"
    )
}

const STDOUT: (&str, &str) = ("exporter", "stdout");
const OTLP: (&str, &str) = ("exporter", "otlp");

/// Whether all 72 points have gone both ways.
fn is_done(exposed: &Exposed) -> bool {
    exposed.sum("otelcol_exporter_sent_metric_points_total", &[STDOUT]) >= 72.0
        && exposed.sum("otelcol_exporter_send_failed_metric_points_total", &[OTLP]) >= 72.0
}

#[test]
fn what_a_pull_reader_shows_is_what_the_documentation_says_and_the_summary_counts() {
    let scraped = Scraped::start(&config(&pull("normal", "")));
    let exposed = scraped.wait_for(is_done);
    assert_documented(&exposed);
    for line in documented() {
        if line.is_from_start && line.level != "detailed" {
            let name = &line.in_prometheus;
            assert!(exposed.kinds.contains_key(name), "{name}: {exposed:#?}");
        }
    }
    let lost = exposed.count("statsfs_collector_points_lost_total", &[OTLP]);
    let reason = [OTLP, ("reason", "not_retried"), ("loss", "true")];
    let dropped = exposed.count("statsfs_collector_points_dropped_total", &reason);
    assert_eq!((lost, dropped), (72, 72), "{exposed:#?}");
    assert_eq!(exposed.count("statsfs_collector_series", &[]), 72);
    let batch = [("processor", "batch"), ("otel_signal", "metrics")];
    for name in ["incoming", "outgoing"] {
        let items = format!("otelcol_processor_{name}_items_total");
        assert_eq!(exposed.count(&items, &batch), 72);
    }
    let capacity = exposed.count("otelcol_exporter_queue_capacity", &[OTLP]);
    assert_eq!(capacity, 1000);
    let rss = exposed.sum("otelcol_process_memory_rss_bytes", &[]);
    let heap = exposed.sum("otelcol_process_runtime_heap_alloc_bytes", &[]);
    assert!(rss > heap && heap > 0.0, "{rss} {heap}");
    let logs = scraped.end();
    for (name, counter) in [
        (
            "otelcol_receiver_accepted_metric_points_total",
            "points_read",
        ),
        ("otelcol_exporter_sent_metric_points_total", "points_sent"),
        ("statsfs_collector_points_handed_total", "points_handed"),
        ("statsfs_collector_points_dropped_total", "points_dropped"),
        ("statsfs_collector_points_queued", "points_queued"),
        ("statsfs_collector_sweeps_total", "sweeps"),
        ("statsfs_collector_series", "series"),
        ("statsfs_collector_files_read_total", "files_read"),
        ("statsfs_collector_bytes_read_total", "bytes_read"),
        ("statsfs_collector_values_lossy_total", "values_lossy"),
    ] {
        let counted = count(&logs, counter);
        assert_eq!(exposed.count(name, &[]), counted, "{name}: {logs}");
    }
}

#[test]
fn promtool_finds_nothing_to_mend_in_it() {
    if !has_promtool("promtool_finds_nothing_to_mend_in_it") {
        return;
    }
    let scraped = Scraped::start(&config(&pull("detailed", "")));
    scraped.wait_for(is_done);
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdout(Stdio::piped());
    let output = spawn(command, &scraped.text()).wait_with_output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    scraped.end();
}

#[test]
fn levels_tell_more_or_less_and_none_does_not_even_listen() {
    let basic = Scraped::start(&config(&pull("basic", "")));
    let exposed = basic.wait_for(is_done);
    let documented = documented();
    let level = |name: &str| {
        let line = documented.iter().find(|it| it.in_prometheus == name);
        line.map(|it| it.level.clone())
    };
    for name in exposed.kinds.keys().filter(|it| *it != "target_info") {
        assert_eq!(level(name).as_deref(), Some("basic"), "{name}");
    }
    basic.end();
    let detailed = Scraped::start(&config(&pull("detailed", "")));
    let exposed = detailed.wait_for(is_done);
    assert_documented(&exposed);
    let net = [("receiver", "statsfs"), ("subsystem", "net")];
    let read = exposed.count("statsfs_collector_files_read_total", &net);
    assert_eq!(read, 72);
    detailed.end();
    let mut none = collector(&config(&pull("none", "")), &[]);
    let mut stderr = std::io::BufReader::new(none.stderr.take().unwrap());
    let lines = lines_until(&mut stderr, |line| line.contains("sweeping"));
    let said = lines.join("\n");
    assert!(!said.contains("listening"), "{said}");
    signal(&none, rustix::process::Signal::TERM);
    none.wait().unwrap();
}

#[test]
fn names_are_those_of_otlp_without_units_and_types_and_labels_those_of_the_resource() {
    let more = ", without_units: true, without_type_suffix: true, with_resource_constant_labels: {included: ['service.*']}";
    let scraped = Scraped::start(&config(&pull("normal", more)));
    let labels = [("service_name", "statsfs-collector"), STDOUT];
    let sent = "otelcol_exporter_sent_metric_points";
    let exposed = scraped.wait_for(|it| it.sum(sent, &labels) >= 72.0);
    let documented = documented();
    for name in exposed.kinds.keys().filter(|it| *it != "target_info") {
        assert!(documented.iter().any(|it| it.name == *name), "{name}");
    }
    scraped.end();
}

#[test]
fn a_port_that_is_taken_ends_the_program_and_with_once_nothing_listens() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = config(&pull("normal", "")).replace("port: 0", &format!("port: {port}"));
    let output = run(&config, &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = format!(
        "service.telemetry.metrics.readers.0: cannot listen on 127.0.0.1:{port}: the port is taken by "
    );
    assert!(said.contains(&expected), "{said}");
    let output = run(&config, &["--once"]);
    let said = text(&output.stderr);
    assert!(!said.contains("listen"), "{said}");
    assert_eq!(count(&said, "points_sent"), 72, "{said}");
}

/// The last value of each series that arrived, by name and labels.
fn last_values(requests: &[Value]) -> BTreeMap<String, f64> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut last = BTreeMap::new();
    let resources = requests.iter().flat_map(|it| list(&it["resourceMetrics"]));
    let scopes = resources.flat_map(|it| list(&it["scopeMetrics"]));
    for metric in scopes.flat_map(|it| list(&it["metrics"])) {
        let data = metric.get("sum").or_else(|| metric.get("gauge")).unwrap();
        for point in list(&data["dataPoints"]) {
            let value = point["asDouble"].as_f64();
            let whole = || point["asInt"].as_str().unwrap().parse().unwrap();
            let mut labels = list(&point["attributes"]);
            labels.sort_by_key(|it| it["key"].to_string());
            let labels = labels.iter().map(|it| {
                let value = it["value"]["stringValue"].as_str().unwrap_or_default();
                format!("{}={value}", it["key"].as_str().unwrap())
            });
            let labels: Vec<String> = labels.collect();
            let name = metric["name"].as_str().unwrap();
            let series = format!("{name}{{{}}}", labels.join(","));
            last.insert(series, value.unwrap_or_else(whole));
        }
    }
    last
}

#[test]
fn the_collector_gets_it_by_otlp_to_the_very_end_and_it_agrees_with_the_summary() {
    let test = "the_collector_gets_it_by_otlp_to_the_very_end_and_it_agrees_with_the_summary";
    let Some(otelcol) = Otelcol::start(test) else {
        return;
    };
    let periodic = |interval: &str| {
        format!(
            "readers: [{{periodic: {{interval: {interval}, exporter: {{otlp: {{protocol: grpc, endpoint: 'http://{}', headers: [{{name: x-a, value: b}}]}}}}}}}}]",
            otelcol.grpc
        )
    };
    let mut often = collector(&config(&periodic("20")), &[]);
    while otelcol.requests().len() < 3 {
        assert_runs(&mut often);
        std::thread::yield_now();
    }
    signal(&often, rustix::process::Signal::TERM);
    often.wait().unwrap();
    // The interval never comes: it is told once, at the end.
    let output = run(&config(&periodic("1h")), &["--once"]);
    let logs = text(&output.stderr);
    let requests = otelcol.end();
    let last = last_values(&requests[requests.len() - 1..]);
    for (series, counter) in [
        (
            "otelcol_receiver_accepted_metric_points{receiver=statsfs,transport=}",
            "points_read",
        ),
        (
            "otelcol_exporter_sent_metric_points{exporter=stdout}",
            "points_sent",
        ),
        (
            "otelcol_exporter_send_failed_metric_points{exporter=otlp}",
            "points_dropped",
        ),
        ("statsfs_collector_sweeps{receiver=statsfs}", "sweeps"),
        (
            "statsfs_collector_files_read{receiver=statsfs}",
            "files_read",
        ),
    ] {
        #[allow(clippy::cast_precision_loss)]
        let counted = count(&logs, counter) as f64;
        assert_eq!(
            last.get(series),
            Some(&counted),
            "{series}: {last:#?} {logs}"
        );
    }
    let micros = last["statsfs_collector_cpu_seconds{receiver=statsfs}"] * 1e6;
    #[allow(clippy::cast_precision_loss)]
    let counted = count(&logs, "cpu_microseconds") as f64;
    assert!((micros - counted).abs() < 0.5, "{micros}: {logs}");
    // Its own messages are none of the program's.
    assert_eq!(count(&logs, "points_read"), 72);
    let resource = requests[0]["resourceMetrics"][0]["resource"].to_string();
    assert!(resource.contains("service.instance.id"), "{resource}");
    let scope = &requests[0]["resourceMetrics"][0]["scopeMetrics"][0]["scope"]["name"];
    assert_eq!(scope, "statsfs-collector-receiver-internal");
}

#[test]
fn within_a_pipeline_a_reader_sees_what_another_exporter_loses_and_the_accounts_hold() {
    let root = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    let config = format!(
        "receivers: {{statsfs: {{root: {}, collection_interval: 1h}}, internal: {{collection_interval: 50ms, labels: {{site: lab}}}}}}\n\
         exporters: {{stdout: {{}}, otlp: {{endpoint: '{}', tls: {{insecure: true}}, retry_on_failure: {{enabled: false}}}}}}\n\
         service: {{pipelines: {{metrics: {{receivers: [statsfs], exporters: [otlp]}}, metrics/own: {{receivers: [internal], exporters: [stdout]}}}}}}\n",
        root.display(),
        free_address(),
    );
    let mut child = collector(&config, &[]);
    let lost = "statsfs_collector_points_lost{exporter=otlp,site=lab} 72 counter";
    read_until(&mut child, |line| line.starts_with(lost));
    signal(&child, rustix::process::Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let logs = text(&output.stderr);
    common::peer::assert_accounted(&logs);
    assert_eq!(count(&logs, "points_read"), count(&logs, "points_handed"));
    assert_eq!(count(&logs, "points_dropped"), 72, "{logs}");
}

#[test]
fn a_secret_of_a_reader_is_not_printed() {
    let config = config(
        "readers: [{periodic: {exporter: {otlp: {protocol: grpc, endpoint: 'http://a:1', headers: {authorization: hunter2}}}}}, \
         {periodic: {exporter: {otlp: {protocol: grpc, endpoint: 'http://a:1', headers: [{name: authorization, value: hunter3}]}}}}]",
    );
    let mut command = Command::new(common::BINARY);
    command.args(["print-config", "--defaults", "--config", "-"]);
    let output = spawn(command, &config).wait_with_output().unwrap();
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!printed.contains("hunter"), "{printed}");
    assert_eq!(printed.matches("[REDACTED]").count(), 2, "{printed}");
}
