//! The contracts of every component, and the configuration.

use exporter_gcp::{Config, Gcp};
use pipeline::Exporter;
use pipeline::testing::{assert_contracts, assert_exporter_forgets_tables, mistakes};

use crate::host::{Host, config};

const README: &str = include_str!("../../README.md");

#[test]
fn it_keeps_the_contracts() {
    let yaml = "{project: p, user_agent: 'me/{{version}}', destination_project_quota: true, detectors: [], detectors_timeout: 1s, \
                metric: {prefix: a.b, known_domains: [c.d], endpoint: 'localhost:1', use_insecure: true, compression: gzip, \
                skip_create_descriptor: true, create_service_timeseries: true, resource_filters: [{prefix: k8s., regex: node}], \
                instrumentation_library_labels: false, service_resource_labels: false, min_interval: 60s}}";
    assert_contracts::<Gcp>(README, yaml, "");
}

#[test]
fn the_defaults_are_the_references() {
    let Config {
        project,
        user_agent,
        metric,
        ..
    } = config("{}");
    assert_eq!((project, user_agent), (None, None));
    assert_eq!(metric.prefix, "workload.googleapis.com");
    assert_eq!(
        metric.known_domains,
        ["googleapis.com", "kubernetes.io", "istio.io", "knative.dev"]
    );
    assert!(metric.instrumentation_library_labels && metric.service_resource_labels);
    assert!(
        !(metric.use_insecure || metric.skip_create_descriptor || metric.create_service_timeseries)
    );
    assert_eq!(metric.min_interval.0.as_secs(), 10);
    assert_eq!(Gcp::delivery().timeout.as_secs(), 12);
}

#[test]
fn keys_of_the_reference_that_are_not_taken_are_refused_with_the_reason() {
    assert_mistakes(&[
        (
            "{authenticator: a}",
            "authenticator",
            "there are no extensions",
        ),
        ("{log: {}}", "log", "only metrics"),
        ("{trace: {}}", "trace", "only metrics"),
        (
            "{impersonate: {target_principal: a, subject: b}}",
            "impersonate.subject",
            "not supported",
        ),
        (
            "{metric: {grpc_pool_size: 2}}",
            "metric.grpc_pool_size",
            "one connection",
        ),
        (
            "{metric: {universe_domain: x}}",
            "metric.universe_domain",
            "`endpoint`",
        ),
        (
            "{metric: {create_metric_descriptor_buffer_size: 1}}",
            "metric.create_metric_descriptor_buffer_size",
            "no descriptor is dropped",
        ),
        (
            "{metric: {cumulative_normalization: false}}",
            "metric.cumulative_normalization",
            "always on",
        ),
        (
            "{metric: {sum_of_squared_deviation: true}}",
            "metric.sum_of_squared_deviation",
            "no estimate",
        ),
        (
            "{metric: {experimental_wal_config: {}}}",
            "metric.experimental_wal_config",
            "`sending_queue`",
        ),
        (
            "{metric: {experimental_wal: {}}}",
            "metric.experimental_wal",
            "`sending_queue`",
        ),
    ]);
}

#[test]
fn each_mistake_is_found_at_its_place() {
    assert_mistakes(&[
        (
            "{metric: {use_insecure: true}}",
            "metric.use_insecure",
            "needs an `endpoint`",
        ),
        (
            "{metric: {endpoint: localhost}}",
            "metric.endpoint",
            "`host:port`",
        ),
        (
            "{metric: {endpoint: 'u:p@localhost:1'}}",
            "metric.endpoint",
            "no user and no password",
        ),
        ("{metric: {min_interval: 0s}}", "metric.min_interval", "1ms"),
        (
            "{metric: {prefix: mine}}",
            "metric.prefix",
            "`mine` does not begin with a domain",
        ),
        (
            "{metric: {prefix: ''}}",
            "metric.prefix",
            "custom.googleapis.com/mine",
        ),
        (
            "{metric: {prefix: mine/custom.googleapis.com}}",
            "metric.prefix",
            "domain",
        ),
        (
            "{metric: {ca_file: x.pem}}",
            "metric.ca_file",
            "an `endpoint` of your own",
        ),
        (
            "{metric: {server_name_override: x}}",
            "metric.server_name_override",
            "an `endpoint` of your own",
        ),
        (
            "{metric: {endpoint: 'localhost:1', use_insecure: true, ca_file: x.pem}}",
            "metric.ca_file",
            "no TLS",
        ),
        (
            "{metric: {endpoint: 'localhost:1', ca_file: /nowhere/x.pem}}",
            "metric.ca_file",
            "/nowhere/x.pem",
        ),
        (
            "{metric: {compression: zstd}}",
            "metric.compression",
            "unknown value",
        ),
        ("{user_agent: \"a\\nb\"}", "user_agent", "printable"),
        ("{project: ''}", "project", "not empty"),
    ]);
}

/// Configurations, where each has its one mistake, and what is said of it.
fn assert_mistakes(cases: &[(&str, &str, &str)]) {
    for (yaml, path, reason) in cases {
        let found = mistakes::<Gcp>(yaml);
        assert!(
            found.len() == 1
                && found[0].starts_with(&format!("{path}: "))
                && found[0].contains(reason),
            "{yaml}: {found:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_table_dies_with_it() {
    let yaml = "{project: p, metric: {skip_create_descriptor: true}}";
    let host = Host::new(yaml).await;
    assert_exporter_forgets_tables(&*host.gcp).await;
}

#[test]
fn it_wants_each_series_no_more_often_than_the_api_takes_it() {
    let context = pipeline::testing::context();
    let gcp =
        <Gcp as pipeline::Component>::build(config("{metric: {min_interval: 30s}}"), &context)
            .unwrap();
    let table = &pipeline::formats::text::parse("a/b 1 gauge").unwrap()[0];
    let want = gcp
        .demand()
        .want(table.table().head(), &table.table().series()[0]);
    assert_eq!(
        want,
        pipeline::Want::Every(std::time::Duration::from_secs(30))
    );
}

#[test]
fn each_key_of_metric_stands_in_the_readme() {
    let schema = pipeline::schemars::schema_for!(exporter_gcp::MetricConfig);
    let keys = schema.get("properties").unwrap().as_object().unwrap();
    assert!(keys.len() > 10);
    for key in keys.keys() {
        assert!(README.contains(&format!("`metric.{key}`")), "{key}");
    }
}
