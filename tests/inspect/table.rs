//! The table on a terminal.

use std::process::Command;

use crate::common::{BINARY, config, file, has_program, lacks, text};

#[test]
fn on_a_terminal_it_is_a_table() {
    if !has_program("script") {
        return lacks("on_a_terminal_it_is_a_table", "script (bsdutils)");
    }
    let tree = tempfile::tempdir().unwrap();
    for name in ["rx_bytes", "unheard_of", "dropped"] {
        file(tree.path(), &format!("net/eth0/{name}"));
    }
    file(tree.path(), "net/eth0/.hidden");
    let receiver = format!("{{root: {}}}", tree.path().display());
    let processors = "metadata: {rules: [{match: {name: net/dropped}, drop: true}]}";
    let yaml = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(yaml.path(), config(&receiver, processors, "{}")).unwrap();
    let command = format!("{BINARY} inspect --read {}", yaml.path().display());
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .output()
        .unwrap();
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = stdout.lines().map(words).collect();
    assert_eq!(lines[0], "resource");
    let header = "SOURCE METRIC KIND FROM UNIT FROM EVERY EXPORTERS VALUE VIA";
    let at = lines.iter().position(|line| line == header).unwrap();
    assert_eq!(lines[at - 1], "statsfs");
    assert_eq!(
        lines[at + 1..],
        [
            "net/eth0/.hidden not read: hidden: its name begins with a dot",
            "net/eth0/dropped not sent by metrics: metadata: rules.0",
            "net/eth0/rx_bytes net/rx_bytes{device=/eth0} counter catalog By catalog 10s stdout 1",
            "net/eth0/unheard_of net/unheard_of{device=/eth0} unknown nobody - - 10s stdout 1",
        ]
    );
}
