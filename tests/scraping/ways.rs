//! One subsystem that comes to the exporter by several ways.

use super::Scraped;
use crate::common::file;

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
