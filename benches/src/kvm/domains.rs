//! The same of libvirt's domains: what `virsh domstats` shows of them beside this program; the owner is QEMU, by QMP.

use std::fs::{self, File};
use std::io;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::sources::{ROUNDS, Source};
use super::spent::spend;
use super::truth::{Values, compare as compare_values, of_host, of_otlp};
use super::truths::{cost, head, line};
use crate::child::on_cpu;
use crate::measure::{Bench, float, syscalls};

const DOMAINS: usize = 10;
const VCPUS: usize = 10;
const STATISTICS: [&str; 4] = ["virsh", "domstats", "--vcpu", "--vm"];

/// Makes ten domains of ten vCPUs, and compares what is shown of them at rest.
pub(super) fn compare(bench: &Bench) -> io::Result<()> {
    let result = make(bench).and_then(|()| compare_domains(bench));
    for number in 0..DOMAINS {
        // Where it was not made there is nothing to end.
        let _ = virsh(&["destroy", &name(number)]);
    }
    result
}

fn compare_domains(bench: &Bench) -> io::Result<()> {
    let expected = by_qmp()?;
    let sources = [Source::Bpf, Source::All];
    let (mut ours, mut theirs) = ([Vec::new(), Vec::new()], Vec::new());
    let shown = of_domstats(&virsh(&STATISTICS[1..])?);
    for _ in 0..ROUNDS {
        for (source, costs) in sources.iter().zip(&mut ours) {
            costs.push(cost(bench, *source)?);
        }
        theirs.push(domstats(bench, shown.len())?);
    }
    let version = virsh(&["version"])?;
    let qemu = version
        .lines()
        .find_map(|it| it.strip_prefix("Running hypervisor: "));
    let of = format!("ten domains of {VCPUS} vCPUs, {}", qemu.unwrap_or_default());
    head(of_host(&expected).len(), &of)?;
    for (source, costs) in sources.iter().zip(&ours) {
        let shown = of_otlp(&bench.once(&source.reading().shown())?);
        let name = format!("{}: to OTLP", source.name());
        line(&name, compare_values(&shown, &expected), costs)?;
    }
    line(
        "virsh domstats --vcpu --vm",
        compare_values(&shown, &expected),
        &theirs,
    )
}

fn name(number: usize) -> String {
    format!("benchmark{number}")
}

fn uuid(number: usize) -> String {
    format!("5f1e0f5a-6d0b-4c7e-9a6e-0000000000{number:02}")
}

/// The domains, whose firmware finds nothing to start, stopped after that.
fn make(bench: &Bench) -> io::Result<()> {
    let emulator = std::env::var("QEMU").unwrap_or_else(|_| "/usr/bin/qemu-system-x86_64".into());
    for number in 0..DOMAINS {
        let (name, uuid) = (name(number), uuid(number));
        let xml = format!(
            "<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>16</memory><vcpu>{VCPUS}</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>{emulator}</emulator></devices></domain>"
        );
        let file = bench.directory().join("domain.xml");
        fs::write(&file, xml)?;
        virsh(&["create", &file.to_string_lossy()])?;
    }
    for number in 0..DOMAINS {
        virsh(&["suspend", &name(number)])?;
    }
    Ok(())
}

fn virsh(arguments: &[&str]) -> io::Result<String> {
    let output = Command::new("virsh").args(arguments).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let all = arguments.join(" ");
    Err(io::Error::other(format!("virsh {all}: {}", stderr.trim())))
}

/// What QEMU itself says of all domains.
fn by_qmp() -> io::Result<Values> {
    let mut values = Values::new();
    for number in 0..DOMAINS {
        let ask = |command: &str| {
            let answer = virsh(&["qemu-monitor-command", &name(number), command])?;
            let answer: Value = serde_json::from_str(&answer).map_err(io::Error::other)?;
            Ok::<_, io::Error>(answer["return"].as_array().cloned().unwrap_or_default())
        };
        let cpus = ask(r#"{"execute": "query-cpus-fast"}"#)?;
        for target in ["vm", "vcpu"] {
            let query =
                format!(r#"{{"execute": "query-stats", "arguments": {{"target": "{target}"}}}}"#);
            for of in ask(&query)? {
                let cpu = cpus.iter().find(|it| it["qom-path"] == of["qom-path"]);
                let part = cpu.map_or("vm".into(), |it| format!("vcpu{}", it["cpu-index"]));
                for statistic in of["stats"].as_array().into_iter().flatten() {
                    let name = statistic["name"].as_str().unwrap_or_default().to_owned();
                    let key = (uuid(number), part.clone(), name);
                    values.insert(key, numbers(&statistic["value"]));
                }
            }
        }
    }
    Ok(values)
}

/// The numbers of a statistic in QMP, which has the buckets of histograms from the last to the first.
fn numbers(value: &Value) -> Vec<i128> {
    match value {
        Value::Bool(it) => vec![i128::from(*it)],
        Value::Array(all) => all.iter().rev().flat_map(numbers).collect(),
        one => one.as_i64().map(i128::from).into_iter().collect(),
    }
}

/// What `virsh domstats` shows of statistics of KVM: `vcpu.0.exits.sum=205` below `Domain: 'name'`.
fn of_domstats(text: &str) -> Values {
    let mut values = Values::new();
    let mut vm = String::new();
    for line in text.lines() {
        if let Some(domain) = line.strip_prefix("Domain: ") {
            let domain = domain.trim_matches('\'');
            let number = (0..DOMAINS).find(|it| name(*it) == domain);
            vm = number.map(uuid).unwrap_or_default();
            continue;
        }
        let Some((path, value)) = line.trim().split_once('=') else {
            continue;
        };
        let (part, statistic) = match &path.split('.').collect::<Vec<_>>()[..] {
            ["vcpu", number, name, "sum" | "cur" | "max"] => (format!("vcpu{number}"), *name),
            ["vm", name, "sum" | "cur" | "max"] => ("vm".to_owned(), *name),
            _ => continue,
        };
        let value = match value {
            "yes" => Some(1),
            "no" => Some(0),
            number => number.parse().ok(),
        };
        values.insert(
            (vm.clone(), part, statistic.to_owned()),
            value.into_iter().collect(),
        );
    }
    values
}

/// What `virsh domstats` costs a value that it shows: of itself, of libvirt's daemon, and of the QEMUs that it asks.
fn domstats(bench: &Bench, shown: usize) -> io::Result<(f64, Option<f64>)> {
    let mut pids: Vec<String> = std::env::var("LIBVIRTD_PID").into_iter().collect();
    for number in 0..DOMAINS {
        let file = format!("/run/libvirt/qemu/{}.pid", name(number));
        pids.push(fs::read_to_string(file)?.trim().to_owned());
    }
    let others = || pids.iter().map(|it| of_process(it)).sum::<Duration>();
    let before = others();
    let own = spend(bench, &STATISTICS, "", false)?;
    let cpu = own.cpu + others().saturating_sub(before);
    let values = float(shown.max(1) as u64);
    let syscalls = count(bench, &pids)?.map(|it| float(it) / values);
    Ok((cpu.as_secs_f64() * 1e9 / values, syscalls))
}

/// The system calls of the same, where they can be counted.
fn count(bench: &Bench, pids: &[String]) -> io::Result<Option<u64>> {
    if !bench.perf {
        return Ok(None);
    }
    let own = spend(bench, &STATISTICS, "", true)?;
    let counted = bench.directory().join("counted");
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"]);
    perf.arg(&counted)
        .args(["-p", &pids.join(",")])
        .args(STATISTICS);
    perf.output()?;
    let theirs = syscalls(&fs::read_to_string(&counted)?);
    Ok(own.syscalls.zip(theirs).map(|(own, theirs)| own + theirs))
}

/// The CPU time of all threads of a process.
fn of_process(pid: &str) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let times = tasks.filter_map(|it| File::open(it.ok()?.path().join("schedstat")).ok());
    Duration::from_nanos(times.map(|it| on_cpu(&it)).sum())
}
