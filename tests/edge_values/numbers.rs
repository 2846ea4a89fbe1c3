//! Numbers that are none, and those that are no longer numbers once they are multiplied.

use crate::common::{assert_fault, config, count, file, run, text};

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (path, value) in [("s/d/large", "1e300"), ("s/d/small", "2")] {
        file(tree.path(), path);
        std::fs::write(tree.path().join(path), value).unwrap();
    }
    tree
}

#[test]
fn a_value_that_overflows_by_its_scale_is_absent_and_counted() {
    let tree = tree();
    let receiver = format!(
        "{{root: {}, formats: [{{match: '**', as: float}}]}}",
        tree.path().display()
    );
    let processors = "metadata: {rules: [{match: {name: 's/*'}, scale: 1e100}]}";
    for format in ["text", "json", "prometheus"] {
        let format = format!("{{format: {format}}}");
        let output = run(&config(&receiver, processors, &format), &["--once"]);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(
            !stdout.contains("large") && stdout.contains("small"),
            "{stdout}"
        );
        assert_eq!(count(&stderr, "points_sent"), 1, "{stderr}");
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("detail=\"s/large times 1e100\""),
            "{stderr}"
        );
        assert_fault(
            "a value is too large once it is multiplied by `scale`",
            "the value: here one point",
            &stderr,
            &["points_dropped=1", "overflow=1"],
        );
    }
}

#[test]
fn infinity_and_what_is_no_number_have_their_otlp_json_form() {
    let tree = tree();
    let receiver = format!(
        "{{root: {}, subsystems: {{include: [s]}}}}",
        tree.path().display()
    );
    let labels = "labels: {actions: [{set: {label: a, value: .inf}}, {set: {label: b, value: -.inf}}, {set: {label: c, value: .nan}}]}";
    let output = run(&config(&receiver, labels, "{format: json}"), &["--once"]);
    let stdout = text(&output.stdout);
    for (key, value) in [("a", "Infinity"), ("b", "-Infinity"), ("c", "NaN")] {
        let label = format!(r#"{{"key":"{key}","value":{{"doubleValue":"{value}"}}"#);
        assert!(stdout.contains(&label), "{label}: {stdout}");
    }
    assert!(!stdout.contains("null"), "{stdout}");
}
