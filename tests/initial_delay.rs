//! A random `initial_delay`: hosts that start together do not sweep together.

use std::io::{BufReader, Read};

use rustix::process::Signal;

use crate::common::peer::net_receiver;
use crate::common::{collector, config, count, end, lines_until, read_until, run, signal, text};

/// A pipeline of a receiver with these options.
fn with(options: &str) -> String {
    let receiver = net_receiver().replace('}', &format!(", {options}}}"));
    config(&receiver, "batch: {}", "{}")
}

#[test]
fn a_random_delay_is_logged_and_nothing_is_swept_before_it() {
    // Shorter than this test by a chance of one in ten million.
    let mut child = collector(&with("initial_delay: {random: 10000h}"), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let said = lines_until(&mut stderr, |line| {
        line.contains("`initial_delay` is random")
    });
    let line = said.last().unwrap();
    assert!(
        line.contains("component=\"statsfs\"") && line.contains("first_sweep_in="),
        "{line}"
    );
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert_eq!(count(&rest, "points_read"), 0, "{rest}");
}

#[test]
fn after_a_random_delay_sweeps_go_on_as_ever() {
    let config = with("initial_delay: {random: 20ms}, collection_interval: 10ms");
    let mut child = collector(&config, &[]);
    let mut sweeps = 0;
    read_until(&mut child, |line| {
        sweeps += usize::from(line.starts_with("net/collisions{device=/lo}"));
        sweeps == 3
    });
    let logs = end(child);
    assert!(count(&logs, "points_read") > 0, "{logs}");
}

#[test]
fn with_once_nobody_waits_for_a_random_delay() {
    let output = run(&with("initial_delay: {random: 10000h}"), &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!output.stdout.is_empty(), "{stderr}");
}

#[test]
fn an_alignment_that_undoes_it_is_a_warning() {
    let random = "initial_delay: {random: 10s}";
    for (options, warns) in [
        (format!("{random}, align: true"), true),
        (random.into(), false),
        ("initial_delay: 3s, align: true".into(), false),
    ] {
        let output = run(&with(&options), &["validate"]);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let message = "warning: `align` undoes a random `initial_delay`";
        assert_eq!(stderr.contains(message), warns, "{options}: {stderr}");
        assert_eq!(
            stderr.contains("= note: at receivers.statsfs.align"),
            warns,
            "{stderr}"
        );
    }
}
