//! One subsystem that comes to the exporter by several ways.

use std::net::SocketAddr;

use super::Scraped;
use super::http::get;
use crate::common::{file, free_address};

#[test]
fn a_sweep_is_shown_when_it_has_ended_by_its_own_way_also_where_some_of_it_is_added_up() {
    let tree = tempfile::tempdir().unwrap();
    for metric in ["rx_bytes", "tx_bytes"] {
        for device in ["eth0", "eth1"] {
            file(tree.path(), &format!("net/{device}/{metric}"));
        }
    }
    // There is one sweep only: what would be shown when the next one begins is not there.
    let config = format!(
        "receivers: {{statsfs: {{root: {}, collection_interval: 1h}}}}
processors:
  aggregate: {{rules: [{{match: {{name: net/rx_bytes}}, without: [device], function: sum}}]}}
  labels: {{actions: [{{set: {{label: way, value: b}}}}]}}
exporters: {{prometheus: {{endpoint: '127.0.0.1:0', without_scope_info: true}}}}
service:
  pipelines:
    metrics/a: {{receivers: [statsfs], processors: [aggregate], exporters: [prometheus]}}
    metrics/b: {{receivers: [statsfs], processors: [labels], exporters: [prometheus]}}
",
        tree.path().display()
    );
    let scraped = Scraped::of(&config);
    let mut expected = [
        "net_rx_bytes 2",
        "net_rx_bytes{device=\"/eth0\",way=\"b\"} 1",
        "net_rx_bytes{device=\"/eth1\",way=\"b\"} 1",
        "net_tx_bytes{device=\"/eth0\"} 1",
        "net_tx_bytes{device=\"/eth0\",way=\"b\"} 1",
        "net_tx_bytes{device=\"/eth1\"} 1",
        "net_tx_bytes{device=\"/eth1\",way=\"b\"} 1",
    ];
    expected.sort_unstable();
    loop {
        let answer = scraped.scrape(&[]);
        let lines = answer.body().lines().filter(|it| it.starts_with("net_"));
        let mut shown: Vec<_> = lines.collect();
        shown.sort_unstable();
        // What comes by one way is there as a whole.
        let of_b = shown.iter().filter(|it| it.contains("way=")).count();
        assert!(
            [0, 4].contains(&of_b) && [0, 3, 4, 7].contains(&shown.len()),
            "{shown:?}"
        );
        if shown.len() == expected.len() {
            assert_eq!(shown, expected);
            break;
        }
    }
    scraped.end();
}

#[test]
fn a_sweep_is_shown_also_where_its_last_table_goes_elsewhere() {
    let tree = tempfile::tempdir().unwrap();
    for metric in ["rx_bytes", "tx_bytes"] {
        file(tree.path(), &format!("net/eth0/{metric}"));
    }
    // Each pipeline drops one of two tables: for one of them that is the last one. There is one sweep only.
    let addresses = ["a", "b"].map(|_| free_address());
    let config = format!(
        "receivers: {{statsfs: {{root: {}, collection_interval: 1h}}}}
processors:
  labels/a: {{actions: [{{drop: {{match: {{name: net/rx_bytes}}}}}}]}}
  labels/b: {{actions: [{{drop: {{match: {{name: net/tx_bytes}}}}}}]}}
exporters:
  prometheus/a: {{endpoint: '{}', without_scope_info: true}}
  prometheus/b: {{endpoint: '{}', without_scope_info: true}}
service:
  pipelines:
    metrics/a: {{receivers: [statsfs], processors: [labels/a], exporters: [prometheus/a]}}
    metrics/b: {{receivers: [statsfs], processors: [labels/b], exporters: [prometheus/b]}}
",
        tree.path().display(),
        addresses[0],
        addresses[1]
    );
    let scraped = Scraped::of(&config);
    for (address, line) in addresses.into_iter().zip([
        "net_tx_bytes{device=\"/eth0\"} 1",
        "net_rx_bytes{device=\"/eth0\"} 1",
    ]) {
        assert_eq!(first_line_of_net(address), line);
    }
    scraped.end();
}

/// Once there is one.
fn first_line_of_net(address: SocketAddr) -> String {
    loop {
        let answer = get(address, "/metrics", &[]);
        let mut lines = answer.body().lines();
        if let Some(line) = lines.find(|it| it.starts_with("net_")) {
            return line.to_owned();
        }
    }
}
