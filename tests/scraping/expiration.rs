//! How long a series is shown that shows nothing new.

use super::{Scraped, config};
use crate::common::file;

#[test]
fn what_is_wanted_seldom_is_shown_until_it_is_due_again_whatever_metric_expiration_says() {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "net/eth0/rx_bytes");
    file(tree.path(), "edac/mc0/ce_count");
    let options = "without_scope_info: true, metric_expiration: 1ms";
    let config = config(tree.path(), "127.0.0.1:0", options).replace(
        "batch: {}",
        "batch: {subsystems: [{match: edac, interval: 1h}]}",
    );
    let scraped = Scraped::of(&config);
    let wait_for = |line: &str| {
        loop {
            let answer = scraped.scrape(&[]);
            if answer.body().lines().any(|it| it.starts_with(line)) {
                break answer.body().to_owned();
            }
        }
    };
    wait_for("edac_");
    // Ten sweeps and more of what is wanted always: three of them are nothing to the other one.
    for value in 10..20 {
        let path = tree.path().join("net/eth0/rx_bytes");
        std::fs::write(path, format!("{value}\n")).unwrap();
        let shown = wait_for(&format!("net_rx_bytes_total{{device=\"/eth0\"}} {value}"));
        assert!(shown.contains("\nedac_"), "{shown}");
    }
    scraped.end();
}
