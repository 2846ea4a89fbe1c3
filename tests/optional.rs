//! Receivers without any series: a warning each, and exit code 1 with `--once`, unless they are optional.

use std::io::{BufReader, Read};
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;

use crate::common::{collector, file, lines, lines_until, read_until, run, signal, text};

const MESSAGE: &str = "it has no series; `optional: true` allows that";

/// Receivers of these maps, `statsfs/0` and so on, in one pipeline.
fn config(receivers: &[String]) -> String {
    let ids = (0..receivers.len()).map(|number| format!("statsfs/{number}"));
    let ids: Vec<String> = ids.collect();
    let maps = ids.iter().zip(receivers);
    let maps: Vec<String> = maps.map(|(id, map)| format!("{id}: {map}")).collect();
    let (ids, maps) = (ids.join(", "), maps.join(", "));
    format!(
        "receivers: {{{maps}}}\nprocessors: {{labels: {{actions: [{{drop: {{match: {{name: 's/unwanted'}}}}}}]}}}}\nexporters: {{stdout: {{}}}}\n\
         service: {{pipelines: {{metrics: {{receivers: [{ids}], processors: [labels], exporters: [stdout]}}}}}}\n"
    )
}

/// A tree with something, and receivers that find nothing in it, or no tree; each with what it is to say.
fn nothings(root: &Path) -> Vec<(String, String)> {
    file(root, "good/s/d/c");
    file(root, "unwanted/s/d/unwanted");
    std::fs::create_dir(root.join("empty")).unwrap();
    let root = root.display();
    let nothing = "no series: no file matches `layout`, `subsystems` and `devices`";
    vec![
        (
            format!("root: {root}/none, subsystem: s"),
            format!("{root}/none, subsystem s (no such directory)"),
        ),
        (
            format!("root: {root}/empty"),
            format!("{root}/empty ({nothing})"),
        ),
        (
            format!("root: {root}/good/s, subsystem: s, layout: '{{device}}/stat/{{metric}}'"),
            format!("{root}/good/s, subsystem s, layout {{device}}/stat/{{metric}} ({nothing})"),
        ),
        (
            format!("root: {root}/unwanted"),
            format!("{root}/unwanted (no series: 1 files, which nothing downstream wants)"),
        ),
    ]
}

fn once(root: &Path, nothings: &[(String, String)], options: &str) -> Output {
    let good = format!("{{root: {}/good}}", root.display());
    let others = nothings
        .iter()
        .map(|(map, _)| format!("{{{map}{options}}}"));
    let receivers: Vec<String> = std::iter::once(good).chain(others).collect();
    run(&config(&receivers), &["--once"])
}

#[test]
fn one_without_series_is_a_warning_and_exit_code_1_and_the_others_points_arrive() {
    let tree = tempfile::tempdir().unwrap();
    let nothings = nothings(tree.path());
    let output = once(tree.path(), &nothings, "");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(lines(&output.stdout), ["s/c{device=/d} 1"], "{stderr}");
    for (number, (_, looked_at)) in (1..).zip(&nothings) {
        let warning =
            format!("WARN {MESSAGE} component=\"statsfs/{number}\" detail=\"{looked_at}\"\n");
        assert!(stderr.contains(&warning), "{warning}: {stderr}");
    }
    assert_eq!(stderr.matches("WARN").count(), nothings.len(), "{stderr}");
    let error = "nothing to sweep: no point came from `statsfs/1`, `statsfs/2`, `statsfs/3`, `statsfs/4`; `optional: true` allows that";
    assert!(stderr.contains(error), "{stderr}");
}

#[test]
fn one_that_is_optional_is_none_and_is_still_named() {
    let tree = tempfile::tempdir().unwrap();
    let nothings = nothings(tree.path());
    let output = once(tree.path(), &nothings, ", optional: true");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(lines(&output.stdout), ["s/c{device=/d} 1"], "{stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
    for (_, looked_at) in &nothings {
        assert!(stderr.contains(looked_at), "{looked_at}: {stderr}");
    }
    let alone = config(&["{root: /no/such/tree, optional: true}".into()]);
    let output = run(&alone, &["--once"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
}

#[test]
fn one_whose_files_give_no_value_has_no_point_either() {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "good/s/d/c");
    file(tree.path(), "bad/t/d/c");
    std::fs::write(tree.path().join("bad/t/d/c"), "up\n").unwrap();
    let bad = [(
        format!("root: {}/bad", tree.path().display()),
        String::new(),
    )];
    let output = once(tree.path(), &bad, "");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains(MESSAGE), "it has a series: {stderr}");
    assert!(
        stderr.contains("no point came from `statsfs/1`;"),
        "{stderr}"
    );
    let output = once(tree.path(), &bad, ", optional: true");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn in_a_long_run_it_is_said_once_and_a_tree_that_comes_later_is_swept() {
    let tree = tempfile::tempdir().unwrap();
    let nothing = tree.path().join("later");
    std::fs::create_dir(&nothing).unwrap();
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, rescan_interval: 40ms}}",
        nothing.display()
    );
    let mut child = collector(&config(&[receiver]), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains(MESSAGE));
    file(&nothing, "s/d/c");
    read_until(&mut child, |line| line == "s/c{device=/d} 1");
    std::fs::remove_dir_all(nothing.join("s")).unwrap();
    read_until(&mut child, |line| line.starts_with("s/c{device=/d} end"));
    file(&nothing, "s/d/c");
    read_until(&mut child, |line| line == "s/c{device=/d} 1");
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("WARN"), "said once: {rest}");
    assert!(child.wait().unwrap().success(), "{rest}");
}
