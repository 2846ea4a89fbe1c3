//! What the catalog knows, and a whole host by it.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_yaml::Value;

use crate::common::{BINARY, lines, repository, shared_memory, spawn, text};

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    value[key].as_sequence().into_iter().flatten().collect()
}

/// Texts in a row, as code.
fn codes<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let codes = texts.into_iter().map(|it| format!("`{it}`"));
    codes.collect::<Vec<_>>().join(", ")
}

/// The files of the built-in catalog, by name.
fn catalog_files() -> Vec<Value> {
    let files = fs::read_dir(repository("processors/metadata/catalog")).unwrap();
    let mut paths: Vec<_> = files.map(|it| it.unwrap().path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "yaml"));
    paths.sort();
    let parse = |path| serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    paths.into_iter().map(parse).collect()
}

/// A glob of a file, as the directory it stands in.
fn place(glob: &Value) -> &str {
    glob.as_str().unwrap().strip_suffix("/NAME").unwrap()
}

/// The numbers that stand for no value, as they are written.
fn absent(of: &Value) -> String {
    let number = |value: &Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => serde_yaml::to_string(value).unwrap().trim().to_owned(),
    };
    let numbers = list(of, "absent").into_iter().map(number);
    numbers.collect::<Vec<_>>().join(", ")
}

/// Whether a metric is a number to export.
fn is_number(metric: &Value) -> bool {
    let kinds = ["counter", "updown", "gauge", "peak", "bool"];
    kinds.contains(&text_of(metric, "type"))
}

fn row(metric: &Value) -> String {
    let kind = match text_of(metric, "type") {
        "updown" => "up-down",
        "counter" => "counter",
        _ => "gauge",
    };
    let mut meaning = vec![text_of(metric, "description").to_owned()];
    if metric.get("absent").is_some() {
        meaning.push(format!("no value: {}", absent(metric)));
    }
    if metric.get("aggregates").is_some() {
        let levels = list(metric, "aggregates").into_iter().map(place);
        meaning.push(format!("a sum in {}", codes(levels)));
    }
    if let Some(start) = metric["start"].as_str() {
        meaning.push(format!("start: {start}"));
    }
    if let Some(range) = metric["wraps_at"].as_str() {
        meaning.push(format!("wraps at `{range}`"));
    }
    meaning.retain(|it| !it.is_empty());
    format!(
        "| `{}` | {kind} | {} | {} |\n",
        text_of(metric, "name"),
        text_of(metric, "unit"),
        meaning.join("; ")
    )
}

fn section(family: &Value) -> String {
    let mut section = format!("## {}\n\n", text_of(family, "id"));
    let places = list(family, "match").into_iter().map(place);
    write!(section, "In {}", codes(places)).unwrap();
    let filesystems = list(family, "filesystems");
    if !filesystems.is_empty() {
        let filesystems = filesystems.into_iter().filter_map(Value::as_str);
        write!(section, " of {}", codes(filesystems)).unwrap();
    }
    section.push('.');
    for (key, condition) in [
        ("aggregates", ""),
        ("aggregates_if_below", ", where it stands below too"),
    ] {
        let levels = list(family, key);
        if !levels.is_empty() {
            let levels = codes(levels.into_iter().map(place));
            write!(section, " A sum of what is below in {levels}{condition}.").unwrap();
        }
    }
    if let Some(start) = family["start"].as_str() {
        write!(section, " Start: `{start}`.").unwrap();
    }
    if family.get("absent").is_some() {
        write!(section, " No value: {}.", absent(family)).unwrap();
    }
    section.push('\n');
    if let Some(note) = family["note"].as_str() {
        writeln!(section, "{note}").unwrap();
    }
    let (numbers, others): (Vec<_>, Vec<_>) = list(family, "metrics")
        .into_iter()
        .partition(|it| is_number(it));
    if !numbers.is_empty() {
        section.push_str("\n| file | kind | unit | what it is |\n|---|---|---|---|\n");
        let rows = numbers.into_iter().map(row);
        section.extend(rows);
    }
    if !others.is_empty() {
        let others = codes(others.into_iter().map(|it| text_of(it, "name")));
        writeln!(section, "\nNot read: {others}.").unwrap();
    }
    section
}

#[test]
fn the_document_of_the_catalog_has_every_family() {
    let files = catalog_files();
    let families: Vec<_> = files.iter().flat_map(|it| list(it, "families")).collect();
    let all = families.iter().flat_map(|family| list(family, "metrics"));
    let count = all.filter(|metric| is_number(metric)).count();
    let count = format!("catalog of {} kernel statistics", count / 50 * 50);
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let link = format!("[{count}](docs/catalog.md)");
    assert!(readme.contains(&link), "README.md has no {link}");

    let mut document = "# What the catalog knows\n\n\
        The [`metadata`](../processors/metadata) processor knows these files by their path, the subsystem first: \
        made from its [catalog](../processors/metadata/catalog), where `*` stands for one part and `**` for several. The first family that knows a file holds.\n\
        A start is [since when a counter counts](../processors/metadata/README.md#since-when-a-counter-counts). What is not read is a setting, a text or the like; a rule can give it a kind.\n"
        .to_owned();
    for family in families {
        write!(document, "\n{}", section(family)).unwrap();
    }
    let path = repository("docs/catalog.md");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, &document).unwrap();
    }
    assert!(
        document == fs::read_to_string(&path).unwrap_or_default(),
        "UPDATE_EXPECTED=1 writes docs/catalog.md"
    );
}

/// One sweep of the host whose file system is below `root`, by configs/host.yaml: what it shows, and what it logs.
fn sweep_host(root: &Path) -> (Vec<String>, String) {
    let mut command = Command::new(BINARY);
    command
        .args(["--once", "--config", "configs/host.yaml", "--set"])
        .arg(format!("service.host_root={}", root.display()))
        .current_dir(repository(""));
    let output = spawn(command, "").wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let mut shown = lines(&output.stdout);
    shown.sort();
    (shown, stderr)
}

#[test]
fn a_whole_host_is_swept_by_its_configuration() {
    let tree = shared_memory();
    let host = fs::read_to_string(repository("tests/catalog/host.txt")).unwrap();
    for line in host.lines() {
        let (path, content) = line.split_once(' ').unwrap();
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => fs::write(path, format!("{content}\n")).unwrap(),
        }
    }
    fs::create_dir_all(tree.path().join("etc")).unwrap();
    fs::write(
        tree.path().join("etc/machine-id"),
        "0123456789abcdef0123456789abcdef\n",
    )
    .unwrap();
    fs::write(tree.path().join("etc/hostname"), "host\n").unwrap();
    let (shown, logs) = sweep_host(tree.path());
    let shown = shown.join("\n") + "\n";
    let expected = repository("tests/catalog/host.expected.txt");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&expected, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(expected).unwrap());
    assert!(
        !logs.contains("WARN") && logs.contains("absent=5"),
        "{logs}"
    );
}

#[test]
fn this_host_is_swept_by_the_same_and_what_is_not_there_is_one_line() {
    let (shown, logs) = sweep_host(Path::new("/"));
    let warnings = logs.lines().filter(|line| line.contains(" WARN "));
    let warnings: Vec<_> = warnings
        .filter(|line| !line.contains("permission denied"))
        .collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
    assert_eq!(logs.matches("INFO sweeping ").count(), 1, "{logs}");
    assert!(
        shown
            .iter()
            .any(|it| it.starts_with("net/rx_bytes{device=lo} ")),
        "{shown:#?}"
    );
}
