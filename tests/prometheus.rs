//! The exposition is one that Prometheus's own tool can read.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{
    self, assert_fault, config, count, file, has_program, lacks, repository, run, text,
};

/// Whether promtool can be asked here; a test that cannot says so.
pub(crate) fn has_promtool(test: &str) -> bool {
    let has = has_program("promtool");
    if !has {
        lacks(test, "promtool, of Debian's package prometheus");
    }
    has
}

/// Has promtool read an exposition.
pub(crate) fn assert_parses(exposition: &[u8]) {
    let mut command = Command::new("promtool");
    let checked = command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = checked.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(exposition).unwrap();
    let checked = child.wait_with_output().unwrap();
    // 1: it cannot be parsed; 3: it can, but names or help texts could be better.
    assert!(
        matches!(checked.status.code(), Some(0 | 3)),
        "{}\n{}",
        text(&checked.stderr),
        text(exposition)
    );
}

/// The values of an exposition, without the heads of families.
fn values(exposition: &[u8]) -> Vec<String> {
    let exposition = text(exposition);
    let values = exposition.lines().filter(|line| !line.starts_with('#'));
    values.map(String::from).collect()
}

/// Two interfaces with one counter each.
fn interfaces() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "net/eth0/rx_bytes");
    file(tree.path(), "net/eth1/rx_bytes");
    tree
}

#[test]
fn promtool_finds_no_parse_error() {
    if !has_promtool("promtool_finds_no_parse_error") {
        return;
    }
    let odd = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("s/n-dash", "1"),
        ("s/n_dash", "2"),
        ("s-x/f", "3"),
        ("s_x/f", "4"),
        ("s/n\"q\\", "5"),
        ("s/0digit", "6"),
        ("s/n\nline", "7"),
    ] {
        let path = odd.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value).unwrap();
    }
    let fixture = |path: &str| repository("tests/fixtures").join(path);
    let trees = [
        fixture("kvm-statsfs-liiling/sys/kernel/statsfs"),
        fixture("net-statsfs/sys/kernel/stats"),
        fixture("schema-corner-cases/stats"),
        odd.path().to_owned(),
    ];
    for tree in trees {
        let receiver = format!(
            "{{root: {}, labels: {{'a-b': 'x\"y', 0: z}}}}",
            tree.display()
        );
        let output = run(
            &config(&receiver, "metadata: {}; batch: {}", "{format: prometheus}"),
            &["--once"],
        );
        // What is left out of the odd one is a loss.
        let is_success = output.status.success() != (tree == odd.path());
        let stderr = text(&output.stderr);
        assert!(is_success && !output.stdout.is_empty(), "{stderr}");
        assert_parses(&output.stdout);
    }
    let output = run(
        &config(
            &format!("{{root: {}}}", odd.path().display()),
            "metadata: {}",
            "{format: prometheus}",
        ),
        &["--once"],
    );
    let stderr = text(&output.stderr);
    let named = "detail=\"s/n_dash would be s_n_dash for Prometheus, which s/n-dash is already\"";
    assert!(
        stderr.contains("series left out of the exposition component=\"stdout\""),
        "{stderr}"
    );
    assert!(stderr.contains(named), "{stderr}");
    let written = values(&output.stdout).len() as u64;
    assert_eq!((count(&stderr, "points_sent"), written), (5, 5), "{stderr}");
    assert_fault(
        "two metrics have one name for Prometheus",
        "the second one, in the format `prometheus` of `stdout`: here two points",
        &stderr,
        &["points_dropped=2", "collision=2"],
    );
}

#[test]
fn labels_that_become_one_are_joined_and_reserved_ones_get_another_name() {
    if !has_promtool("labels_that_become_one_are_joined_and_reserved_ones_get_another_name") {
        return;
    }
    let tree = interfaces();
    let labels = "labels: {actions: [{set: {label: a-b, value: w}}, {rename: {label: device, to: a.b}}, \
                  {set: {label: __name__, value: n}}, {set: {label: le, value: 5}}, {set: {label: quantile, value: q}}]}";
    let receiver = format!("{{root: {}}}", tree.path().display());
    let output = run(
        &config(&receiver, labels, "{format: prometheus}"),
        &["--once"],
    );
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let expected = |device: &str| {
        format!(
            "net_rx_bytes{{a_b=\"w;/{device}\",exported___name__=\"n\",exported_le=\"5\",exported_quantile=\"q\"}} 1"
        )
    };
    let expected = [expected("eth0"), expected("eth1")];
    assert_eq!(values(&output.stdout), expected, "{stderr}");
    assert_eq!(count(&stderr, "points_sent"), 2, "{stderr}");
    assert_parses(&output.stdout);
}

#[test]
fn two_pipelines_make_one_exposition() {
    if !has_promtool("two_pipelines_make_one_exposition") {
        return;
    }
    let tree = interfaces();
    // The second pipeline has the same series, once under another label, and once as they are.
    for (processors, points) in [("[labels]", 4), ("[]", 2)] {
        let config = format!(
            "receivers: {{statsfs: {{root: {}}}}}\nprocessors: {{labels: {{actions: [{{set: {{label: way, value: b}}}}]}}}}\n\
             exporters: {{stdout: {{format: prometheus}}}}\n\
             service: {{pipelines: {{metrics/1: {{receivers: [statsfs], exporters: [stdout]}}, metrics/2: {{receivers: [statsfs], processors: {processors}, exporters: [stdout]}}}}}}\n",
            tree.path().display()
        );
        let output = run(&config, &["--once"]);
        let stderr = text(&output.stderr);
        assert_eq!(values(&output.stdout).len(), points, "{stderr}");
        assert_eq!(count(&stderr, "points_sent"), points as u64, "{stderr}");
        let lost = 4 - points as u64;
        assert_eq!(count(&stderr, "points_dropped"), lost, "{stderr}");
        let heads = text(&output.stdout).matches("# TYPE").count();
        assert_eq!(heads, 1, "{}", text(&output.stdout));
        assert_parses(&output.stdout);
    }
}

#[test]
fn each_sweep_is_one_whole_exposition() {
    let tree = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    let receiver = format!("{{root: {}, collection_interval: 100ms}}", tree.display());
    let mut child = common::collector(
        &config(&receiver, "metadata: {}; batch: {}", "{format: prometheus}"),
        &[],
    );
    let mut heads = 0;
    let lines = common::read_until(&mut child, |line| {
        heads += usize::from(line == "# TYPE net_collisions_total counter");
        heads == 3
    });
    common::signal(&child, rustix::process::Signal::TERM);
    child.wait().unwrap();
    let values = lines.iter().filter(|line| !line.starts_with('#')).count();
    assert_eq!(values, 2 * 72, "two whole ones before the third begins");
}

#[test]
fn what_nobody_reads_is_closed_and_not_sent() {
    let tree = interfaces();
    let receiver = format!("{{root: {}}}", tree.path().display());
    for format in ["text", "json", "prometheus"] {
        let format = format!("{{format: {format}}}");
        // A pipe whose reader has gone, and a descriptor that cannot be written to.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let null = std::fs::File::open("/dev/null").unwrap();
        let cases = [
            ("\"$0\" \"$@\"", Stdio::from(writer)),
            ("\"$0\" \"$@\"", Stdio::from(null)),
            ("\"$0\" \"$@\" >&-", Stdio::piped()),
        ];
        for (script, stdout) in cases {
            let mut command = Command::new("sh");
            command.args(["-c", script, common::BINARY]);
            command.args(["--once", "--config", "-"]).stdout(stdout);
            command.stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let config = config(&receiver, "metadata: {}", &format);
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(config.as_bytes()).unwrap();
            drop(stdin);
            let stderr = text(&child.wait_with_output().unwrap().stderr);
            assert_eq!(count(&stderr, "points_sent"), 0, "{format}: {stderr}");
            assert!(
                stderr.contains("points_dropped=2 (closed=2)"),
                "{format}: {stderr}"
            );
        }
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_and_a_full_disk_is_no_success() {
    let tree = repository("tests/fixtures/net-statsfs/sys/kernel/stats");
    let receiver = format!("{{root: {}, collection_interval: 20ms}}", tree.display());
    let config = config(&receiver, "metadata: {}; batch: {}", "{format: prometheus}");
    let mut child = common::collector(&config, &[]);
    common::read_until(&mut child, |_| true);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let mut command = Command::new(common::BINARY);
    command
        .args(["--once", "--config", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .stdout(
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(config.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}
