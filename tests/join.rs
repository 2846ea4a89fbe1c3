//! Where several receivers or pipelines lead to one exporter: a series goes through once, and the other one is named.

use std::path::Path;

use crate::common::{assert_fault, count, file, lines, run, text};

/// Two interfaces with two counters each.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for device in ["eth0", "eth1"] {
        file(tree.path(), &format!("net/{device}/rx_bytes"));
        file(tree.path(), &format!("net/{device}/tx_bytes"));
    }
    tree
}

fn receiver(root: &Path) -> String {
    format!("{{root: {}}}", root.display())
}

fn two_receivers(root: &Path, processors: &str, ids: &str) -> String {
    let receiver = receiver(root);
    format!(
        "receivers: {{statsfs/a: {receiver}, statsfs/b: {receiver}}}\nprocessors: {processors}\nexporters: {{stdout: }}\n\
         service: {{pipelines: {{metrics: {{receivers: [statsfs/a, statsfs/b], processors: {ids}, exporters: [stdout]}}}}}}\n"
    )
}

#[test]
fn the_same_series_of_two_receivers_goes_through_once_and_both_are_named() {
    let tree = tree();
    for (processors, ids) in [
        ("", "[]"),
        ("{batch: }", "[batch]"),
        ("{metadata: }", "[metadata]"),
        (
            "{labels: {actions: [{set: {label: x, value: y}}]}}",
            "[labels]",
        ),
    ] {
        let output = run(&two_receivers(tree.path(), processors, ids), &["--once"]);
        let stderr = text(&output.stderr);
        assert_eq!(lines(&output.stdout).len(), 4, "{ids}: {stderr}");
        // Which of them comes first is open.
        let [a, b] = [("a", "b"), ("b", "a")].map(|(second, first)| {
            format!(
                "net/eth0/rx_bytes of statsfs/{second} would be net/rx_bytes{{device=/eth0}}, which net/eth0/rx_bytes of statsfs/{first} is already"
            )
        });
        assert!(
            stderr.contains(&a) || stderr.contains(&b),
            "{ids}: {stderr}"
        );
        for counter in ["points_dropped", "series_refused"] {
            let counted = format!("{counter}=4 (duplicate=4)");
            assert!(stderr.contains(&counted), "{ids}: {stderr}");
        }
        assert_eq!(count(&stderr, "points_sent"), 4, "{stderr}");
        assert_eq!(output.status.code(), Some(1), "a loss: {stderr}");
        if ids == "[]" {
            assert_fault(
                "two receivers have the same series",
                "the second one of each: here 4 points; both are named",
                &stderr,
                &["duplicate=4"],
            );
        }
    }
}

#[test]
fn what_comes_of_two_receivers_is_not_added_up_twice() {
    let tree = tree();
    let processors = "{aggregate: {rules: [{without: [device], function: sum}]}}";
    let config = two_receivers(tree.path(), processors, "[aggregate]");
    let output = run(&config, &["--once"]);
    let stderr = text(&output.stderr);
    assert_eq!(
        lines(&output.stdout),
        ["net/rx_bytes 2", "net/tx_bytes 2"],
        "{stderr}"
    );
    assert!(stderr.contains("duplicate=4"), "{stderr}");
}

#[test]
fn the_same_series_by_two_pipelines_goes_through_once_and_other_ones_go_both_ways() {
    let tree = tree();
    let config = |second: &str| {
        format!(
            "receivers: {{statsfs: {}}}\nprocessors: {{labels: {{actions: [{{set: {{label: way, value: b}}}}]}}}}\nexporters: {{stdout: }}\n\
             service: {{pipelines: {{metrics/1: {{receivers: [statsfs], exporters: [stdout]}}, metrics/2: {{receivers: [statsfs], processors: {second}, exporters: [stdout]}}}}}}\n",
            receiver(tree.path())
        )
    };
    let output = run(&config("[]"), &["--once"]);
    let stderr = text(&output.stderr);
    assert_eq!(lines(&output.stdout).len(), 4, "{stderr}");
    assert!(
        stderr.contains("detail=\"net/eth0/rx_bytes of statsfs in metrics/"),
        "{stderr}"
    );
    assert!(
        stderr.contains("points_dropped=4 (duplicate=4)"),
        "{stderr}"
    );

    let output = run(&config("[labels]"), &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(lines(&output.stdout).len(), 8, "{stderr}");
}
