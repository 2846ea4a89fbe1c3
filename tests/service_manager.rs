//! What a service manager is told: systemd's protocol, at a socket of the test's own.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::Signal;

use crate::common::peer::{INSECURE, net_receiver, otlp_config};
use crate::common::{
    BINARY, config, count, ended, free_address, lines_until, run, signal, spawn, text,
};

/// The program, started by a manager that listens there.
fn start(config: &str, socket: &str, variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(BINARY);
    command.args(["--config", "-"]).env("NOTIFY_SOCKET", socket);
    command.envs(variables.iter().copied());
    spawn(command, config)
}

/// The next message.
fn next(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 8192];
    let timeout = Duration::from_mins(1);
    manager.set_read_timeout(Some(timeout)).unwrap();
    let length = manager.recv(&mut buffer).expect("a message in time");
    text(&buffer[..length])
}

/// The next one that begins so.
fn next_of(manager: &UnixDatagram, begin: &str) -> String {
    loop {
        let message = next(manager);
        if message.starts_with(begin) {
            return message;
        }
    }
}

/// A summary as often as this.
fn small(summary_interval: &str) -> String {
    let config = config(&net_receiver(), "batch: {}", "{}");
    let telemetry =
        format!("service:\n  telemetry: {{logs: {{summary_interval: {summary_interval}}}}}\n");
    config.replace("service:\n", &telemetry)
}

#[test]
fn it_tells_when_it_is_ready_how_it_fares_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    let child = start(&small("20ms"), path.to_str().unwrap(), &[]);
    assert_eq!(next(&manager), "READY=1");
    let status = next_of(&manager, "STATUS=");
    assert!(status.starts_with("STATUS=sweeps="), "{status}");
    signal(&child, Signal::TERM);
    let stopping = next_of(&manager, "STOPPING=1");
    // `shutdown_timeout`, and a little to say what became of all.
    assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000");
    let last = next_of(&manager, "STATUS=");
    let logs = ended(child);
    assert!(logs.contains(&last["STATUS=".len()..]), "{last} {logs}");
    assert!(count(&logs, "points_sent") > 0, "{logs}");
}

#[test]
fn signs_of_life_go_to_an_abstract_socket_too_as_often_as_is_asked() {
    let name = format!("statsfs-collector-{}-watchdog", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    let watchdog = [("WATCHDOG_USEC", "200000")];
    let child = start(&small("0s"), &format!("@{name}"), &watchdog);
    for _ in 0..3 {
        next_of(&manager, "WATCHDOG=1");
    }
    signal(&child, Signal::TERM);
    next_of(&manager, "STOPPING=1");
    ended(child);
}

#[test]
fn what_could_not_be_sent_when_the_time_to_end_is_over_is_counted_in_the_last_line_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    let config = otlp_config(&net_receiver(), &free_address().to_string(), INSECURE);
    let config = config.replace("service:\n", "service:\n  shutdown_timeout: 1ms\n");
    let mut child = start(&config, path.to_str().unwrap(), &[]);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains("sending fails"));
    signal(&child, Signal::TERM);
    next_of(&manager, "STOPPING=1");
    let last = next_of(&manager, "STATUS=");
    child.stderr = Some(stderr.into_inner());
    let logs = ended(child);
    let handed = count(&logs, "points_handed");
    assert!(handed > 0, "{logs}");
    assert_eq!(count(&last, "points_dropped"), handed, "{last}");
    assert!(last.contains(&format!("(shutdown={handed})")), "{last}");
    assert!(
        logs.contains("points could not be sent in time and are lost"),
        "{logs}"
    );
}

#[test]
fn a_manager_that_cannot_be_told_is_warned_of_once_and_costs_nothing_else() {
    for (socket, why) in [
        ("/no/such/socket", "No such file or directory"),
        ("vsock:2:1", "it is neither a path nor `@name`"),
    ] {
        let mut command = Command::new(BINARY);
        command.args(["--once", "--config", "-"]);
        command.env("NOTIFY_SOCKET", socket);
        let output = spawn(command, &small("0s")).wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let warned = stderr.matches("the service manager cannot be told");
        assert_eq!(warned.count(), 1, "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
    let output = run(&small("0s"), &["--once"]);
    assert!(!text(&output.stderr).contains("service manager"));
}
