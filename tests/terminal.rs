//! `stdout`'s `text` on a terminal, and in a pipe.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::{Command, Output};

use crate::common::{
    BINARY, config, device, end, ended, lines, lines_until, on_terminal, run, shared_memory, spawn,
    text,
};

/// A tree of two subsystems: counters, a gauge, and what nobody knows.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (file, value) in [
        ("net/eth0/rx_bytes", "31337000\n"),
        ("net/eth0/rx_dropped", "0\n"),
        ("net/eth0/nobody_knows", "7\n"),
        ("net/eth0/mtu", "1500\n"),
        ("kvm/1-2/vcpu0/exits", "1000\n"),
    ] {
        let path = tree.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value).unwrap();
    }
    tree
}

fn config_of(tree: &tempfile::TempDir, stdout: &str) -> String {
    let receiver = format!(
        "{{collection_interval: 20ms, root: {}}}",
        tree.path().display()
    );
    config(&receiver, "metadata: {}; labels: {}; batch: {}", stdout)
}

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).args(["--config", "-"]);
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    command.envs(environment.iter().copied());
    command
}

/// One sweep on a terminal of so many columns; line ends are what they are in a file.
fn once_on_terminal(
    config: &str,
    columns: u16,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> String {
    let mut all = vec!["--once"];
    all.extend(arguments);
    let (child, mut screen) = on_terminal(command(&all, environment), config, columns);
    let mut shown = String::new();
    screen.read_to_string(&mut shown).unwrap();
    ended(child);
    shown.replace("\r\n", "\n")
}

fn once_in_pipe(config: &str, arguments: &[&str]) -> Output {
    let mut all = vec!["--once"];
    all.extend(arguments);
    let output = spawn(command(&all, &[]), config)
        .wait_with_output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

/// The text without the codes that turn dim and bold on, and all off.
fn plain(text: &str) -> String {
    let codes = ["\u{1b}[2m", "\u{1b}[1m", "\u{1b}[0m"];
    let text = codes
        .iter()
        .fold(text.to_owned(), |text, code| text.replace(code, ""));
    assert!(!text.contains('\u{1b}'), "{text:?}");
    text
}

#[test]
fn a_sweep_of_all_subsystems_is_one_block_under_its_time_and_zeros_are_dimmed() {
    let tree = tree();
    let shown = once_on_terminal(&config_of(&tree, "{}"), 100, &[], &[]);
    let (heading, lines) = shown.split_once('\n').unwrap();
    let time = plain(heading);
    let time = time.strip_suffix(", 5 series").unwrap();
    assert!(
        time.len() == 20 && time.starts_with("20") && time.ends_with('Z'),
        "{time}"
    );
    let expected = "\
kvm/exits{device=/1-2/vcpu0}         1,000  counter  {exit}
net/mtu{device=/eth0}                1,500  gauge    By
net/nobody_knows{device=/eth0}           7  unknown
net/rx_bytes{device=/eth0}      31,337,000  counter  By
net/rx_dropped{device=/eth0}    \u{1b}[2m         0\u{1b}[0m  counter  {packet}
";
    assert_eq!(lines, expected);
}

#[test]
fn in_a_pipe_it_is_the_notation_with_colours_too_where_they_are_asked_for() {
    let tree = tree();
    let config = config_of(&tree, "{}");
    let expected = "\
kvm/exits{device=/1-2/vcpu0}       1000 counter {exit}
net/mtu{device=/eth0}              1500 gauge By
net/nobody_knows{device=/eth0}        7 gauge
net/rx_bytes{device=/eth0}     31337000 counter By
net/rx_dropped{device=/eth0}          0 counter {packet}
";
    assert_eq!(text(&once_in_pipe(&config, &[]).stdout), expected);
    let colored = once_in_pipe(&config, &["--color", "always"]);
    let (shown, logs) = (text(&colored.stdout), text(&colored.stderr));
    assert_eq!(plain(&shown), expected);
    assert_eq!(
        shown.matches("\u{1b}[2m       0\u{1b}[0m").count(),
        1,
        "{shown:?}"
    );
    assert!(logs.contains('\u{1b}'), "logs are for people too: {logs}");
    assert!(!text(&once_in_pipe(&config, &[]).stderr).contains('\u{1b}'));
}

#[test]
fn no_color_and_the_command_line_turn_colours_off_and_the_command_line_is_stronger() {
    let tree = tree();
    let config = config_of(&tree, "{}");
    let is_colored = |arguments: &[&str], environment: &[(&str, &str)]| {
        let shown = once_on_terminal(&config, 100, arguments, environment);
        assert!(
            plain(&shown).contains("  31,337,000  counter  By\n"),
            "{shown}"
        );
        shown.contains('\u{1b}')
    };
    assert!(is_colored(&[], &[("NO_COLOR", "")]));
    assert!(!is_colored(&[], &[("NO_COLOR", "0")]));
    assert!(!is_colored(&[], &[("TERM", "dumb")]));
    assert!(!is_colored(&["--color", "never"], &[]));
    assert!(is_colored(&["--color=always"], &[("NO_COLOR", "1")]));
    let wrong = run(&config, &["--color", "sometimes"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("possible values: auto, always, never"));
}

#[test]
fn a_narrow_terminal_cuts_nothing_and_wraps_no_line_that_fits() {
    let tree = tree();
    let shown = once_on_terminal(&config_of(&tree, "{}"), 40, &["--color", "never"], &[]);
    let (_, lines) = shown.split_once('\n').unwrap();
    let expected = "\
kvm/exits{device=/1-2/vcpu0}
                1,000  counter  {exit}
net/mtu{device=/eth0}
                1,500  gauge    By
net/nobody_knows{device=/eth0}
                    7  unknown
net/rx_bytes{device=/eth0}
           31,337,000  counter  By
net/rx_dropped{device=/eth0}
                    0  counter  {packet}
";
    assert_eq!(lines, expected);
    assert!(shown.lines().all(|line| line.len() <= 40));
}

#[test]
fn rates_stand_beside_counters_and_a_reset_is_told_and_never_a_negative_rate() {
    let tree = shared_memory();
    device(tree.path(), "d", "1000");
    let rule = "metadata: {rules: [{match: {name: s/c}, kind: counter}]}; batch: {}";
    let receiver = format!(
        "{{collection_interval: 20ms, root: {}}}",
        tree.path().display()
    );
    let config = config(&receiver, rule, "{rate: true}");
    let (child, mut screen) = on_terminal(command(&["--color", "never"], &[]), &config, 80);
    let file = File::options()
        .write(true)
        .open(tree.path().join("s/d/c"))
        .unwrap();
    let mut all = Vec::new();
    let mut until = |wanted: &str| {
        all.extend(lines_until(&mut screen, |line| {
            line.starts_with("s/c{device=/d}") && line.contains(wanted)
        }));
    };
    until(" 1,000 counter");
    until(" 1,000 0/s counter");
    file.write_all_at(b"9000", 0).unwrap();
    until(" 9,000 ");
    until(" 9,000 0/s counter");
    file.write_all_at(b"8000", 0).unwrap();
    until(" 8,000 reset counter");
    until(" 8,000 0/s counter");
    std::fs::remove_dir_all(tree.path().join("s/d")).unwrap();
    until(" ended ");
    let line = |wanted: &str| all.iter().find(|line| line.contains(wanted)).unwrap();
    let rate = line(" 9,000 ").split(' ').nth(2).unwrap();
    let number = rate.strip_suffix("/s").unwrap().replace(',', "");
    assert!(number.parse::<f64>().unwrap() > 0.0, "{rate}");
    assert!(!all.iter().any(|line| line.contains(" -")), "{all:#?}");
    assert!(
        all.iter().any(String::is_empty),
        "a block stands apart from the one before: {all:#?}"
    );
    drop(std::thread::spawn(move || {
        screen.read_to_end(&mut Vec::new())
    }));
    end(child);
}

#[test]
fn a_terminal_that_goes_away_ends_the_program_as_a_pipe_does() {
    let tree = tree();
    let (child, mut screen) = on_terminal(command(&[], &[]), &config_of(&tree, "{}"), 80);
    lines_until(&mut screen, |line| line.contains("{exit}"));
    drop(screen);
    let logs = ended(child);
    assert!(!logs.contains("ERROR"), "{logs}");
}

#[test]
fn rates_where_none_are_shown_are_told() {
    let tree = tree();
    let output = once_in_pipe(&config_of(&tree, "{rate: true}"), &[]);
    let logs = text(&output.stderr);
    let expected = "WARN `rate` shows nothing: standard output is no terminal component=\"stdout\"";
    assert!(logs.contains(expected), "{logs}");
    assert_eq!(lines(&output.stdout).len(), 5);
    let output = run(
        &config_of(&tree, "{rate: true, format: json}"),
        &["validate"],
    );
    let logs = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        logs.contains("only the format `text` shows rates"),
        "{logs}"
    );
    assert!(logs.contains("at exporters.stdout.rate"), "{logs}");
}

#[test]
fn json_and_prometheus_are_on_a_terminal_what_they_are_in_a_pipe() {
    let tree = tree();
    let config = config_of(&tree, "{format: prometheus}");
    let expected = text(&once_in_pipe(&config, &[]).stdout);
    assert_eq!(once_on_terminal(&config, 80, &[], &[]), expected);
    let config = config_of(&tree, "{format: json}");
    let shown = once_on_terminal(&config, 80, &["--color", "always"], &[]);
    assert!(shown.starts_with("{\"resourceMetrics\":"), "{shown}");
    assert!(!shown.contains('\u{1b}'));
}
