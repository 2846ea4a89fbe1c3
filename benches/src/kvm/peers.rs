//! What people use in place of this program: kvm_stat and PCP's agent, which sum up over all VMs of the host.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::spent::{Spent, spend};
use super::truth::Values;
use crate::measure::{Bench, float};

/// What mends the lack of any of them.
pub(super) const INSTALL: &str = "it is not there; scripts/kvm-peers.sh installs it";

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/kvm-peers");

/// A program that shows statistics of KVM.
#[derive(Debug)]
pub(super) enum Peer {
    /// Linux's `tools/kvm/kvm_stat`; whether it is a copy that was told the architecture.
    KvmStat { program: PathBuf, is_told: bool },
    /// PCP's agent for KVM, asked by PCP's debugger for agents.
    Pmda { metrics: Vec<String> },
}

impl Peer {
    /// kvm_stat, as it is shipped, or where that fails a copy with the architecture set; and why.
    pub(super) fn kvm_stat(bench: &Bench) -> io::Result<(Peer, Option<String>)> {
        let program = PathBuf::from(PLACE).join("kvm_stat");
        let text = fs::read_to_string(&program).map_err(|_| io::Error::other(INSTALL))?;
        let shipped = Peer::KvmStat {
            program,
            is_told: false,
        };
        let run = shipped.run(bench, 0, false)?;
        if run.output.status.success() {
            return Ok((shipped, None));
        }
        let copy = bench.directory().join("kvm_stat");
        fs::write(&copy, text.replace("if 'vmx' in flags:", "if True:"))?;
        let told = Peer::KvmStat {
            program: copy,
            is_told: true,
        };
        Ok((told, Some(run.last_error())))
    }

    /// PCP's agent.
    pub(super) fn pmda() -> io::Result<Peer> {
        let names = fs::read_to_string(format!("{PLACE}/pcp/usr/lib/pcp/pmdas/kvm/root_kvm"));
        let names = names.map_err(|_| io::Error::other(INSTALL))?;
        let metric = |line: &str| {
            let (name, number) = line.trim().split_once(char::is_whitespace)?;
            number
                .trim()
                .starts_with("KVM:0:")
                .then(|| format!("kvm.{name}"))
        };
        let metrics = names.lines().filter_map(metric).collect();
        Ok(Peer::Pmda { metrics })
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Peer::KvmStat { is_told: false, .. } => "kvm_stat -d",
            Peer::KvmStat { .. } => "kvm_stat -d, a copy with the architecture set",
            Peer::Pmda { .. } => "PCP's pmdakvm, by dbpmda",
        }
    }

    /// What it shows, once: sums over all VMs, under no VM's name.
    pub(super) fn shown(&self, bench: &Bench) -> io::Result<Values> {
        let text = self.run(bench, 0, false)?.stdout();
        let mut values = Values::new();
        let mut metric = "";
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match (self, &words[..]) {
                (Peer::KvmStat { .. }, [name, total, ..]) => insert(&mut values, name, total),
                (Peer::Pmda { .. }, [_, name, "numval:", ..]) => {
                    metric = name.trim_matches(['(', ')', ':']);
                }
                (Peer::Pmda { .. }, ["value", number, ..]) => {
                    insert(&mut values, metric.trim_start_matches("kvm."), number);
                }
                _ => {}
            }
        }
        Ok(values)
    }

    /// What a value costs, the start taken off: CPU ns, and system calls.
    pub(super) fn cost(&self, bench: &Bench, shown: usize) -> io::Result<(f64, Option<f64>)> {
        let cpu = self.each(bench, shown, false, |it| Some(it.cpu.as_secs_f64() * 1e9))?;
        let calls = |it: &Spent| it.syscalls.map(float);
        let syscalls = self.each(bench, shown, bench.perf, calls)?;
        Ok((cpu.unwrap_or_default(), syscalls))
    }

    /// How much of this a value takes, of so many that each turn shows.
    fn each(
        &self,
        bench: &Bench,
        shown: usize,
        count: bool,
        of: impl Fn(&Spent) -> Option<f64>,
    ) -> io::Result<Option<f64>> {
        let (few, many) = (self.run(bench, 1, count)?, self.run(bench, 4, count)?);
        let turns = self.turns(&many).saturating_sub(self.turns(&few));
        let values = float((turns * shown).max(1) as u64);
        let more = of(&many).zip(of(&few)).map(|(many, few)| many - few);
        Ok(more.map(|it| it / values))
    }

    /// Runs it: for one turn, or for so many seconds or hundreds of turns.
    fn run(&self, bench: &Bench, length: usize, count: bool) -> io::Result<Spent> {
        match self {
            Peer::KvmStat { program, .. } => {
                let (program, seconds) = (program.to_string_lossy(), length.to_string());
                let once = ["python3", &program, "-1", "-d"];
                let log = ["timeout", "-s", "INT", &seconds, "python3", &program];
                let log = [&log[..], &["-d", "-l", "-s", "0.1"]].concat();
                spend(bench, if length == 0 { &once } else { &log }, "", count)
            }
            Peer::Pmda { metrics } => {
                let pcp = format!("{PLACE}/pcp/usr");
                let agents = format!("{pcp}/lib/pcp/pmdas");
                let fetch = format!("fetch {}\n", metrics.join(" "));
                let turns = (100 * length).max(1);
                let input = format!(
                    "open pipe {agents}/kvm/pmdakvm\n{}quit\n",
                    fetch.repeat(turns)
                );
                let (binaries, agents) = (
                    format!("PCP_BINADM_DIR={pcp}/lib/pcp/bin"),
                    format!("PCP_PMDAS_DIR={agents}"),
                );
                let (debugger, names) = (
                    format!("{pcp}/bin/dbpmda"),
                    format!("{pcp}/lib/pcp/pmdas/kvm/root_kvm"),
                );
                let program = ["env", &binaries, &agents, &debugger, "-f", "-n", &names];
                spend(bench, &program, &input, count)
            }
        }
    }

    /// How many turns a run had.
    fn turns(&self, run: &Spent) -> usize {
        let text = run.stdout();
        let lines = text.lines();
        match self {
            Peer::KvmStat { .. } => lines
                .filter(|it| it.starts_with(|c: char| c.is_ascii_digit()))
                .count(),
            Peer::Pmda { .. } => lines.filter(|it| it.contains("Result dump")).count(),
        }
    }
}

fn insert(values: &mut Values, name: &str, number: &str) {
    if let Ok(number) = number.parse() {
        let key = (String::new(), String::new(), name.to_owned());
        values.insert(key, vec![number]);
    }
}
