//! docs/faults.md: what is lost by each fault, and what is counted of it. The tests write its rows.

use std::io::{Read, Seek, Write};

use super::alone::{FAULTS, alone};
use super::{find_count, repository};

const HEAD: &str = "\
# What is lost when something fails

Each row is what a test saw and checked: what did not arrive, and what the program counted of it, which is the same. The
counts are those of the summary line; N stands for what differs from run to run. `points_dropped` is the sum of all
reasons but `points_rejected`, which is the upstream's. The tests write this file with `UPDATE_EXPECTED=1`.

| fault | what is lost | what is counted |
|---|---|---|
";

/// Checks what a fault costs, and that the table has its row: `lost`, in words, and `counted` in the summary line of
/// `logs`: `max_elapsed_time=72`, `queue_full=N` for one that varies, and no point where it is empty. What has no `=` are
/// words too.
pub(crate) fn assert_fault(name: &str, lost: &str, logs: &str, counted: &[&str]) {
    // A whole name: `stuck` is none of `files_stuck`.
    let found = |pattern: &str| {
        let mut whole = [" ", "("].iter().map(|before| format!("{before}{pattern}"));
        whole.find_map(|pattern| find_count(logs, &pattern))
    };
    for count in counted.iter().filter(|it| it.contains('=')) {
        if let Some(pattern) = count.strip_suffix('N') {
            assert!(found(pattern) > Some(0), "{count}: {logs}");
        } else {
            let (pattern, number) = count.split_at(count.find('=').unwrap() + 1);
            assert_eq!(found(pattern), number.parse().ok(), "{logs}");
        }
    }
    if counted.is_empty() {
        for pattern in [" points_dropped=", " points_rejected="] {
            assert_eq!(find_count(logs, pattern).unwrap_or_default(), 0, "{logs}");
        }
    }
    let code = |it: &&str| {
        if it.contains('=') {
            format!("`{it}`")
        } else {
            (*it).to_owned()
        }
    };
    let counts = if counted.is_empty() {
        "nothing".to_owned()
    } else {
        counted.iter().map(code).collect::<Vec<_>>().join(", ")
    };
    let row = format!("| {name} | {lost} | {counts} |");
    let path = repository("docs/faults.md");
    let _faults = alone(&FAULTS);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        update(&path, name, &row);
    }
    let rows = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        rows.starts_with(HEAD) && rows.lines().any(|it| it == row),
        "{} lacks this row; UPDATE_EXPECTED=1 writes it: {row}",
        path.display()
    );
}

/// Puts a row in the place of the one of its fault; the rows are sorted.
fn update(path: &std::path::Path, name: &str, row: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut options = std::fs::File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let (is_row, same) = (|it: &&str| it.starts_with("| "), format!("| {name} | "));
    let rows = text.lines().filter(is_row).skip(1);
    let mut rows: Vec<&str> = rows.filter(|it| !it.starts_with(&same)).collect();
    rows.push(row);
    rows.sort_unstable();
    file.set_len(0).unwrap();
    file.rewind().unwrap();
    writeln!(file, "{HEAD}{}", rows.join("\n")).unwrap();
}
