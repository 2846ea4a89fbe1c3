//! Whether KVM's statistics can be had by BPF here, and if so a pass, a line for each VM and vCPU. With `--drop` after
//! every capability was given up; with `--memory` and what it took.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it is a command

use std::process::ExitCode;
use std::{env, error, fs};

use kvm_bpf::{KvmIterator, Level, Limits, Pass, drop_bpf_capabilities};

fn main() -> ExitCode {
    let options: Vec<String> = env::args().skip(1).collect();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &[String]) -> Result<(), Box<dyn error::Error>> {
    let has = |option: &str| options.iter().any(|it| it == option);
    let mut iterator = KvmIterator::load()?;
    if has("--drop") {
        drop_bpf_capabilities()?;
    }
    let pass = iterator.pass(Limits {
        vms: 1024,
        vcpus: 4096,
    })?;
    show(pass);
    if has("--memory") {
        let status = fs::read_to_string("/proc/self/status")?;
        status
            .lines()
            .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"))
            .for_each(|it| println!("{it}"));
    }
    for level in [Level::Vm, Level::Vcpu] {
        println!(
            "{} statistics of level {level}",
            iterator.statistics(level).len()
        );
    }
    Ok(())
}

fn show(pass: &Pass) {
    for record in pass.records() {
        let level = record
            .vcpu
            .map_or("vm".to_owned(), |number| format!("vcpu {number}"));
        let values = record.values.map_or("unreadable".to_owned(), |it| {
            format!("{} bytes", it.bytes().len())
        });
        println!(
            "{level}: process {}, descriptor {}, debugfs {:?}, {values}",
            record.pid,
            record.fd,
            record.debugfs()
        );
    }
    let Pass {
        duplicates,
        unreadable,
        over_limit,
        ..
    } = pass;
    println!("duplicates {duplicates}, unreadable {unreadable}, over the limit {over_limit}");
}
