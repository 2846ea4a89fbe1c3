//! QEMU itself: what the program shows of a guest at rest is what QEMU's own monitor (QMP) says. `QEMU` names the program, as
//! `scripts/kvm-qemu.sh` does for those of other versions.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::needs::{debugfs, kvm, left_out};
use super::shown::{AllShown, shown};
use super::vmm::Statistics;
use super::{assert_equal, once};
use crate::common::has_program;

const UUID: &str = "3f2c1a52-6a0e-4f43-9d0b-0a6f5b1c2d3e";

/// What a disk begins with: it sleeps until the clock's interrupt, writes a letter to the serial port, and sleeps again.
const BOOT: [u8; 10] = [
    0xfb, // again: sti
    0xf4, // hlt
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'k', // mov al, 'k'
    0xee, // out dx, al
    0xeb, 0xf6, // jmp again
];

/// A QEMU with a guest, stopped after that has run.
struct Qemu {
    child: Child,
    monitor: BufReader<UnixStream>,
}

/// The program, where it is.
fn program() -> Option<String> {
    let program = std::env::var("QEMU").unwrap_or_else(|_| "qemu-system-x86_64".into());
    let is_there = has_program(&program) || Path::new(&program).exists();
    let found = is_there.then_some(program);
    found.or_else(|| left_out("qemu-system-x86_64"))
}

impl Qemu {
    fn start(program: &str, directory: &Path) -> Qemu {
        let (disk, socket) = (directory.join("disk"), directory.join("monitor"));
        let mut sector = [0; 512];
        sector[..BOOT.len()].copy_from_slice(&BOOT);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(&disk, sector).unwrap();
        let mut command = Command::new(program);
        command.args([
            "-accel",
            "kvm",
            "-m",
            "16",
            "-smp",
            "2",
            "-nographic",
            "-no-reboot",
        ]);
        command.args(["-nodefaults", "-serial", "stdio", "-monitor", "none"]);
        command.args(["-name", "guest=a,,b c=é", "-uuid", UUID]);
        command
            .arg("-drive")
            .arg(format!("file={},format=raw", disk.display()));
        command
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", socket.display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // By the time that the guest says so it has run, and the monitor is there.
        let mut output = BufReader::new(child.stdout.take().unwrap()).bytes();
        let letters = output
            .by_ref()
            .map_while(Result::ok)
            .filter(|it| *it == b'k');
        assert_eq!(letters.take(5).count(), 5, "the guest has not run");
        let monitor = BufReader::new(UnixStream::connect(socket).unwrap());
        let mut qemu = Qemu { child, monitor };
        assert!(qemu.line()["QMP"].is_object());
        qemu.ask(&json!({"execute": "qmp_capabilities"}));
        qemu.ask(&json!({"execute": "stop"}));
        qemu
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.monitor.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// What a command gives; events come between.
    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.monitor.get_mut(), "{command}").unwrap();
        loop {
            let line = self.line();
            assert!(line["error"].is_null(), "{command}: {line}");
            if let Some(answer) = line.get("return") {
                return answer.clone();
            }
        }
    }

    /// The statistics of the VM (`vm`), or of its vCPUs by their numbers (`vcpu0`).
    fn statistics(&mut self, target: &str) -> Vec<(String, Statistics)> {
        let arguments = json!({"target": target});
        let query = json!({"execute": "query-stats", "arguments": arguments});
        let all = self.ask(&query);
        let schemas = self.ask(&json!({"execute": "query-stats-schemas"}));
        let cpus = self.ask(&json!({"execute": "query-cpus-fast"}));
        let of_target = |it: &&Value| it["target"] == target && it["provider"] == "kvm";
        let schema = list(&schemas).find(of_target).unwrap();
        let part = |of: &Value| {
            let cpu = list(&cpus).find(|it| it["qom-path"] == of["qom-path"]);
            cpu.map_or_else(
                || target.to_owned(),
                |it| format!("vcpu{}", it["cpu-index"]),
            )
        };
        let of_kvm = list(&all).filter(|it| it["provider"] == "kvm");
        let parts = of_kvm.map(|of| (part(of), statistics(&schema["stats"], &of["stats"])));
        parts.collect()
    }

    /// All of them.
    fn all(&mut self) -> Vec<(String, Statistics)> {
        [self.statistics("vm"), self.statistics("vcpu")].concat()
    }

    /// Whether it keeps statistics descriptors of its vCPUs: it does from 8.1 on.
    fn keeps_descriptors(&self) -> bool {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let links = fds.filter_map(|it| std::fs::read_link(it.unwrap().path()).ok());
        let mut links = links.map(|it| it.to_string_lossy().into_owned());
        links.any(|it| it.starts_with("anon_inode:kvm-vcpu-stats:"))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().unwrap().iter()
}

/// QMP's names for what the kernel has numbers for; `values` as the kernel has them.
fn statistics(schema: &Value, all: &Value) -> Statistics {
    let number = |names: &[&str], of: &Value| names.iter().position(|it| *of == **it);
    let statistic = |of: &Value| {
        let declared = list(schema).find(|it| it["name"] == of["name"]).unwrap();
        let types = [
            "cumulative",
            "instant",
            "peak",
            "linear-histogram",
            "log2-histogram",
        ];
        let units = ["", "bytes", "seconds", "cycles", "boolean"];
        let values = match &of["value"] {
            Value::Bool(it) => vec![json!(u8::from(*it))],
            // The buckets come from the last to the first (QEMU 7.2 and 10.0).
            Value::Array(all) => all.iter().rev().cloned().collect(),
            one => vec![one.clone()],
        };
        let statistic = json!({
            "type": number(&types, &declared["type"]).unwrap(),
            "unit": number(&units, &declared["unit"]).unwrap_or(0),
            "exponent": declared["exponent"].as_i64().unwrap_or(0),
            "values": values,
        });
        (of["name"].as_str().unwrap().to_owned(), statistic)
    };
    list(all).map(statistic).collect()
}

/// All that QEMU says is shown so; with files there is more.
fn assert_whole(shown: &AllShown, owner: &[(String, Statistics)]) {
    for (part, owner) in owner {
        let mut own = shown.clone();
        own.retain(|key, _| key.0 == UUID && key.1 == *part && owner.contains_key(&key.2));
        assert_equal(&own, UUID, part, owner);
    }
}

#[test]
fn of_a_guest_of_qemu_at_rest_every_statistic_is_what_its_monitor_says() {
    let (Some(_kvm), Some(_debugfs)) = (kvm(), debugfs()) else {
        return;
    };
    let Some(program) = program() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut qemu = Qemu::start(&program, directory.path());
    let owner = qemu.all();
    let vcpus: Vec<_> = owner.iter().filter(|it| it.0 != "vm").cloned().collect();
    assert_eq!((owner.len(), vcpus.len()), (3, 2));
    assert!(vcpus[0].1["halt_exits"]["values"][0].as_u64() > Some(0));
    let expected = [
        ("{sources: [stats_fd]}", qemu.keeps_descriptors(), &vcpus),
        ("{sources: [bpf]}", cfg!(feature = "bpf"), &owner),
        (
            "{sources: [stats_fd, bpf, debugfs]}",
            cfg!(feature = "bpf"),
            &owner,
        ),
    ];
    for (receiver, _, expected) in expected.into_iter().filter(|it| it.1) {
        let all = shown(&once(receiver).stdout);
        assert_whole(&all, expected);
        let attributes = &all[&(UUID.into(), "vcpu0".into(), "exits".into())].attributes;
        assert_eq!(attributes["kvm.vm.name"], "a,b c=é");
        assert_eq!(attributes["kvm.vm.uuid"], UUID);
        assert_eq!(attributes["kvm.vmm"], "qemu");
    }
    assert_eq!(qemu.all(), owner, "it was not at rest");
}
