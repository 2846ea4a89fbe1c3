//! The program ends and starts again while a real Prometheus scrapes it.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Prometheus, config};
use crate::common::{collector, end, file, free_address};

#[test]
fn a_restart_is_a_gap_as_long_as_itself_and_no_spike() {
    let test = "a_restart_is_a_gap_as_long_as_itself_and_no_spike";
    let tree = tempfile::tempdir().unwrap();
    for device in ["eth0", "eth1"] {
        file(tree.path(), &format!("net/{device}/rx_bytes"));
    }
    let count = |device: &str, value: u64| set(tree.path(), device, value);
    count("eth0", 1_000_000);
    let address = free_address();
    let config = config(
        tree.path(),
        &address.to_string(),
        "without_scope_info: true",
    );
    let Some(prometheus) = Prometheus::start(test, address) else {
        return;
    };
    let child = collector(&config, &[]);
    let [eth0, eth1] = ["eth0", "eth1"].map(|it| format!("net_rx_bytes_total{{device=\"/{it}\"}}"));
    for value in [1_000_010, 1_000_020] {
        count("eth0", value);
        prometheus.wait_for(&eth0, &value.to_string());
    }
    end(child);
    // The first scrape that fails ends all series, not five minutes later.
    prometheus.wait_for("up", "0");
    prometheus.wait_for("absent(net_rx_bytes_total)", "1");
    // Meanwhile one device goes, and the other one counts on.
    std::fs::remove_dir_all(tree.path().join("net/eth1")).unwrap();
    count("eth0", 1_000_030);
    let child = collector(&config, &[]);
    for value in [1_000_030, 1_000_040] {
        count("eth0", value);
        prometheus.wait_for(&eth0, &value.to_string());
    }
    prometheus.wait_for(&format!("absent({eth1})"), "1");
    // No more than ten between two scrapes, of which any two seconds have three at the most.
    let fastest = format!("max_over_time(rate({eth0}[2s])[5m:1s]) < bool 100");
    assert_eq!(prometheus.query(&fastest).as_deref(), Some("1"));
    let all = format!("increase({eth0}[5m]) < bool 100");
    assert_eq!(prometheus.query(&all).as_deref(), Some("1"));
    let resets = format!("resets({eth0}[5m])");
    assert_eq!(prometheus.query(&resets).as_deref(), Some("0"));
    // Each scrape that was answered had the series, but for those before the first sweep after each start.
    let shown = prometheus.samples(&format!("{eth0}[1h]"));
    let up = prometheus.samples("up[1h]");
    assert!(shown.len() > 1, "{shown:?}");
    assert_eq!(
        missed(&up, &shown),
        Vec::<&String>::new(),
        "{up:?} {shown:?}"
    );
    drop(prometheus);
    end(child);
}

/// The times of the scrapes that were answered, and did not have the series, though one before them had it since the last
/// one that failed.
fn missed<'a>(up: &'a [(String, String)], shown: &[(String, String)]) -> Vec<&'a String> {
    let shown: BTreeSet<&String> = shown.iter().map(|(time, _)| time).collect();
    let (mut missed, mut was_shown) = (Vec::new(), false);
    for (time, up) in up {
        let is_shown = shown.contains(time);
        if up == "1" && was_shown && !is_shown {
            missed.push(time);
        }
        was_shown = up == "1" && (was_shown || is_shown);
    }
    missed
}

/// Written at once: what is read is the one value or the other.
fn set(tree: &Path, device: &str, value: u64) {
    let (new, file) = (
        tree.join("new"),
        tree.join("net").join(device).join("rx_bytes"),
    );
    std::fs::write(&new, format!("{value}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}
