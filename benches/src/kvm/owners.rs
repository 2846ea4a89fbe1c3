//! Virtual machines of other processes, one each, as on a host: the monitor of the tests makes them, and keeps the
//! statistics descriptors of the vCPUs, as QEMU from 8.1 on does.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::truth::Values;

const VMS: usize = 10;

/// Ten monitors, with a VM each.
pub(super) struct Owners {
    all: Vec<Owner>,
    pub(super) vcpus: usize,
    /// What they read of their own VMs.
    pub(super) values: Values,
}

struct Owner {
    monitor: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Owners {
    /// VMs of so many vCPUs each, the first of which has run a guest, and halted, some times. They are at rest.
    pub(super) fn start(vcpus: usize) -> io::Result<Owners> {
        let mut owners = Owners {
            all: Vec::new(),
            vcpus,
            values: Values::new(),
        };
        for number in 0..VMS {
            owners.all.push(Owner::spawn()?);
            let owner = owners.all.last_mut().ok_or_else(|| lost("no monitor"))?;
            let vm = owner.ask(&format!("vm('vm', {vcpus}, guest=True)"))?;
            let vm = format!("{}-{}", vm["pid"], vm["fd"]);
            owner.ask(&format!("vms['vm'].run({})", number + 5))?;
            let all = owner.ask("vms['vm'].all()")?;
            owners.values.extend(of_owner(&vm, &all));
        }
        Ok(owners)
    }

    /// Their process ids.
    pub(super) fn pids(&self) -> Vec<String> {
        let pids = self.all.iter().map(|it| it.monitor.id().to_string());
        pids.collect()
    }

    /// How many values a sweep has: of the vCPUs alone, or with those of the VMs themselves.
    pub(super) fn count(&self, with_vms: bool) -> u64 {
        let parts = self.values.keys().map(|(_, part, _)| part);
        parts.filter(|it| with_vms || *it != "vm").count() as u64
    }
}

impl Owner {
    fn spawn() -> io::Result<Owner> {
        let program = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/kvm_statistics/vmm.py"
        );
        let mut monitor = Command::new("python3")
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = monitor.stdin.take().zip(monitor.stdout.take());
        let (input, output) = pipes.ok_or_else(|| lost("no pipes"))?;
        Ok(Owner {
            monitor,
            input,
            output: BufReader::new(output),
        })
    }

    /// What an expression gives in the monitor.
    fn ask(&mut self, expression: &str) -> io::Result<Value> {
        writeln!(self.input, "{expression}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        serde_json::from_str(&answer)
            .map_err(|_| lost("it makes no VM: /dev/kvm and its rights are needed"))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

/// The values of a VM, as its owner tells them: by part, by statistic.
fn of_owner(vm: &str, all: &Value) -> Values {
    let mut values = Values::new();
    let parts = all.as_object().into_iter().flatten();
    for (part, statistics) in parts {
        for (name, statistic) in statistics.as_object().into_iter().flatten() {
            let numbers = statistic["values"].as_array().into_iter().flatten();
            let numbers = numbers.filter_map(|it| it.as_u64().map(i128::from));
            let key = (vm.to_owned(), part.clone(), name.clone());
            values.insert(key, numbers.collect());
        }
    }
    values
}

fn lost(why: &str) -> io::Error {
    io::Error::other(format!("a monitor of virtual machines: {why}"))
}
