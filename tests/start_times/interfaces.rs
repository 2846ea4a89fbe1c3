//! Network interfaces: one that is renamed or moved in from another network namespace comes with what it has counted.

use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::{fs, process};

use super::far_end::{FarEnd, Sender};
use crate::common::{config, has_program, is_root, lacks, text};

/// A veth pair, while this lives.
struct Pair {
    name: String,
    subnet: u8,
}

fn ip(arguments: &str) -> process::Output {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    output.unwrap()
}

fn do_ip(arguments: &str) {
    let output = ip(arguments);
    assert!(
        output.status.success(),
        "{arguments}: {}",
        text(&output.stderr)
    );
}

impl Pair {
    /// Named by `letter`, which no other test has; `None`, reported on standard error, where there are none.
    fn new(test: &str, letter: char) -> Option<Pair> {
        if !is_root() || !has_program("ip") {
            lacks(test, "root and iproute2");
            return None;
        }
        let pair = Pair {
            name: format!("{letter}{}", process::id() % 100_000),
            subnet: letter as u8,
        };
        let name = &pair.name;
        let added = ip(&format!("link add {name} type veth peer name {name}p"));
        if !added.status.success() {
            let why = text(&added.stderr);
            lacks(test, &format!("a kernel that makes veth pairs: {why}"));
            return None;
        }
        pair.up(name);
        Some(pair)
    }

    /// Up, with an address, and a neighbour that needs not answer.
    fn up(&self, name: &str) {
        let Pair {
            name: first,
            subnet,
        } = self;
        do_ip(&format!("link set {first}p up"));
        do_ip(&format!("link set {name} up"));
        do_ip(&format!("addr replace 198.18.{subnet}.1/30 dev {name}"));
        do_ip(&format!(
            "neigh replace 198.18.{subnet}.2 lladdr 02:00:00:00:00:02 dev {name}"
        ));
    }

    /// Sends 100 kB and more.
    fn send(&self) {
        let socket = UdpSocket::bind((format!("198.18.{}.1", self.subnet), 0)).unwrap();
        for _ in 0..100 {
            let to = (format!("198.18.{}.2", self.subnet), 9);
            socket.send_to(&[0; 1000], to).unwrap();
        }
    }

    fn renamed(&self) -> String {
        format!("{}r", self.name)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        ip(&format!("link delete {}p", self.name));
    }
}

fn sent(interface: &str) -> u64 {
    let path = format!("/sys/class/net/{interface}/statistics/tx_bytes");
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

fn series(interface: &str) -> String {
    format!("net/tx_bytes{{device={interface}}}")
}

/// What interfaces of these names have sent.
fn sweep(names: &str, metadata: &str) -> String {
    let receiver = format!(
        "{{root: /sys/class/net, subsystem: net, layout: '{{device}}/statistics/{{metric}}', follow_links: true, \
         collection_interval: 20ms, devices: {{include: [{names}]}}}}"
    );
    let processors = format!(
        "metadata: {metadata}; labels: {{actions: [{{keep: {{match: {{name: net/tx_bytes}}}}}}]}}"
    );
    config(&receiver, &processors, "{format: json}")
}

#[test]
fn an_interface_that_is_renamed_does_not_count_twice_what_it_has_sent() {
    let test = "an_interface_that_is_renamed_does_not_count_twice_what_it_has_sent";
    // Not even where somebody says that it was made with its directory: its inode tells that it was not.
    for (letter, metadata) in [('r', "{}"), ('q', "{rules: [{start: device}]}")] {
        let Some(pair) = Pair::new(test, letter) else {
            return;
        };
        let (name, renamed) = (&pair.name, pair.renamed());
        pair.send();
        let (mut far_end, already) = (FarEnd::default(), sent(name));
        let mut sender = Sender::start(&sweep(&format!("{name}, {renamed}"), metadata));
        let first = sender.until(&mut far_end, |point| point.series == series(name));
        assert!(first[0].is_baseline() && first[0].value >= Some(already));
        do_ip(&format!("link set {name} down"));
        do_ip(&format!("link set {name} name {renamed}"));
        pair.up(&renamed);
        let first = sender.until(&mut far_end, |point| point.series == series(&renamed));
        let first = first.iter().find(|point| point.series == series(&renamed));
        let first = first.unwrap();
        assert!(
            first.is_baseline() && first.value >= Some(already),
            "{first:?}"
        );
        pair.send();
        let now = sent(&renamed);
        let is_now =
            |point: &super::Point| point.series == series(&renamed) && point.value >= Some(now);
        sender.until(&mut far_end, is_now);
        let counted = far_end.total("net/tx_bytes");
        sender.end(&mut far_end);
        assert!(
            (100_000..=sent(&renamed) - already).contains(&counted),
            "{counted}"
        );
    }
}

#[test]
fn an_interface_that_is_moved_in_does_not_bring_what_it_sent_elsewhere() {
    let test = "an_interface_that_is_moved_in_does_not_bring_what_it_sent_elsewhere";
    let Some(pair) = Pair::new(test, 'm') else {
        return;
    };
    let moved = pair.renamed();
    let mut far_end = FarEnd::default();
    let names = format!("{}, {moved}", pair.name);
    let mut sender = Sender::start(&sweep(&names, "{}"));
    sender.until(&mut far_end, |point| point.series == series(&pair.name));
    let elsewhere = format!(
        "ip link add {moved} type veth peer name {moved}p && ip link set {moved}p up && ip link set {moved} up && \
         ip addr add 198.18.1.1/30 dev {moved} && ip neigh add 198.18.1.2 lladdr 02:00:00:00:00:02 dev {moved} && \
         for i in {{1..100}}; do echo $i > /dev/udp/198.18.1.2/9; done && ip link set {moved} netns {} && read",
        process::id()
    );
    // The namespace, and the peer in it, live as long as its input does.
    let mut namespace = Command::new("unshare")
        .args(["-n", "bash", "-c", &elsewhere])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let came = sender.until(&mut far_end, |point| point.series == series(&moved));
    let first = came.iter().find(|point| point.series == series(&moved));
    let first = first.unwrap();
    assert!(first.is_baseline() && first.value > Some(1000), "{first:?}");
    drop(namespace.stdin.take());
    namespace.wait().unwrap();
    sender.end(&mut far_end);
}

#[test]
fn an_interface_that_is_new_counts_since_the_last_look_where_somebody_says_that_it_may() {
    let test =
        "an_interface_that_is_new_counts_since_the_last_look_where_somebody_says_that_it_may";
    let Some(pair) = Pair::new(test, 'n') else {
        return;
    };
    let new = pair.renamed();
    let before = pipeline::now_unix_nano();
    let mut far_end = FarEnd::default();
    let config = sweep(&format!("lo, {new}"), "{rules: [{start: device}]}");
    let mut sender = Sender::start(&config);
    sender.until(&mut far_end, |point| point.series == series("lo"));
    do_ip(&format!("link set {}p down", pair.name));
    do_ip(&format!("link set {}p name {new}", pair.name));
    let renamed = sender.until(&mut far_end, |point| point.series == series(&new));
    let renamed = renamed.iter().find(|point| point.series == series(&new));
    assert!(renamed.unwrap().is_baseline(), "{renamed:?}");
    do_ip(&format!("link delete {new}"));
    sender.until(&mut far_end, |point| {
        point.series == series(&new) && point.value.is_none()
    });
    do_ip(&format!(
        "link add {new} type veth peer name {}p",
        pair.name
    ));
    let came = sender.until(&mut far_end, |point| point.series == series(&new));
    let first = came.iter().find(|point| point.series == series(&new));
    let first = first.unwrap();
    assert!(
        before < first.start && first.start < first.time,
        "{first:?}"
    );
    sender.end(&mut far_end);
}

#[test]
fn a_restart_is_neither_a_reset_nor_a_spike() {
    let Some(pair) = Pair::new("a_restart_is_neither_a_reset_nor_a_spike", 's') else {
        return;
    };
    let (name, late) = (&pair.name, pair.renamed());
    do_ip(&format!("link delete {name}"));
    let config = sweep(&format!("lo, {late}"), "{}");
    let mut far_end = FarEnd::default();
    let mut sender = Sender::start(&config);
    let first = sender.until(&mut far_end, |point| point.series == series("lo"));
    let lo = first[0].clone();
    // It comes while the program looks.
    do_ip(&format!("link add {late} type veth peer name {name}p"));
    pair.up(&late);
    let mut already = None;
    for restart in 0..3 {
        pair.send();
        let now = sent(&late);
        let is_now =
            |point: &super::Point| point.series == series(&late) && point.value >= Some(now);
        let shown = sender.until(&mut far_end, is_now);
        let first = shown.iter().find(|point| point.series == series(&late));
        already = already.or(first.unwrap().value);
        assert!(restart == 0 || first.unwrap().is_baseline(), "{first:?}");
        sender.end(&mut far_end);
        pair.send();
        sender = Sender::start(&config);
    }
    sender.until(&mut far_end, |point| point.series == series(&late));
    let of_lo = sender.until(&mut far_end, |point| point.series == series("lo"));
    let of_lo = of_lo
        .iter()
        .find(|point| point.series == series("lo"))
        .unwrap();
    sender.end(&mut far_end);
    let is_from_boot = lo.start == boot();
    assert_eq!(is_from_boot, of_lo.start == boot());
    assert_eq!(
        is_from_boot,
        is_older("/sys/class/net/lo", "/sys/module/kernel")
    );
    let since_boot = if is_from_boot { sent("lo") } else { 0 };
    let counted = far_end.total("net/tx_bytes");
    let really = since_boot + sent(&late) - already.unwrap();
    assert!(counted <= really, "{counted} {really}");
}

/// When the kernel was booted, unix ns.
pub(super) fn boot() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "));
    boot.unwrap().trim().parse::<u64>().unwrap() * 1_000_000_000
}

/// Whether the kernel made one before the other.
pub(super) fn is_older(one: &str, other: &str) -> bool {
    fs::symlink_metadata(one).unwrap().ino() < fs::symlink_metadata(other).unwrap().ino()
}
