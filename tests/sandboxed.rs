//! What a component can still do once the program has taken away what nobody needs: tried from inside.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[allow(dead_code, unused_imports)] // what other tests use
mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use pipeline::{
    Component, Context, Demand, Outlet, Receiver, ReceiverClock, Result, async_trait, schemars,
    serde,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use common::{is_root, lacks, spawn, text};

/// Set where this is the program: the number of a system call that this kernel is to be without, or 0.
const PROGRAM: &str = "SANDBOXED_IS_THE_PROGRAM_WITHOUT";

/// `landlock_create_ruleset`, on every architecture.
const LANDLOCK: &str = "444";

const REFUSED: &str = "Permission denied (os error 13)";
const NOT_PERMITTED: &str = "Operation not permitted (os error 1)";

/// A receiver that tries what it is told to, and says what came of it.
struct Try(Config);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields)]
#[schemars(crate = "pipeline::schemars")]
struct Config {
    /// `write /path`, `connect 4317`, …
    tries: Vec<String>,
    /// Whether it says that it needs nothing.
    says: bool,
}

pipeline::register! { receiver Try }

impl Component for Try {
    const TYPE: &'static str = "try";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Try> {
        if config.says {
            context.needs(Vec::new);
        }
        Ok(Try(config))
    }
}

#[async_trait]
impl Receiver for Try {
    async fn run(self: Box<Self>, _: Demand, _: Outlet, _: ReceiverClock) -> Result<()> {
        for each in &self.0.tries {
            let came = attempt(each).map_or_else(|error| error.to_string(), |()| "done".into());
            eprintln!("{each}: {came}");
        }
        Ok(())
    }
}

fn attempt(what: &str) -> io::Result<()> {
    let (what, with) = what.split_once(' ').unwrap();
    let port = || (Ipv4Addr::LOCALHOST, with.parse::<u16>().unwrap());
    match what {
        "read" => File::open(with)?
            .read_to_string(&mut String::new())
            .map(drop),
        "write" => File::options().write(true).open(with).map(drop),
        "make" => File::create_new(with).map(drop),
        "remove" => std::fs::remove_file(with),
        "connect" => TcpStream::connect(port()).map(drop),
        "listen" => TcpListener::bind(port()).map(drop),
        "execute" => Command::new(with).status().map(drop),
        "chroot" => Ok(rustix::process::chroot(with)?),
        other => unreachable!("{other}"),
    }
}

/// What came of each try, and how the program ended.
fn tried(sandbox: &str, says: bool, endpoint: u16, tries: &[String], without: &str) -> Tried {
    let tree = tempfile::tempdir().unwrap();
    // What is beside a tree may be read: the tree may come again there.
    let root = tree.path().join("tree");
    std::fs::create_dir_all(root.join("net/eth0")).unwrap();
    std::fs::write(root.join("net/eth0/rx"), "1\n").unwrap();
    let here = root.display().to_string();
    let tries: Vec<String> = tries.iter().map(|it| it.replace("TREE", &here)).collect();
    let config = format!(
        "receivers: {{statsfs: {{root: '{here}'}}, try: {{tries: {tries:?}, says: {says}, optional: true}}}}\n\
         exporters: {{stdout: {{}}, otlp: {{endpoint: '127.0.0.1:{endpoint}', tls: {{insecure: true}}}}}}\n\
         service:\n  sandbox: {sandbox}\n  pipelines:\n    metrics: {{receivers: [statsfs], exporters: [stdout]}}\n    \
         metrics/try: {{receivers: [try], exporters: [otlp]}}\n"
    );
    let mut program = Command::new(std::env::current_exe().unwrap());
    program
        .args(["--once", "--config", "-"])
        .env(PROGRAM, without);
    let output = spawn(program, &config).wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    let came = tries.iter().map(|it| {
        let line = stderr
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{it}: ")));
        (
            it.replace(&here, "TREE"),
            line.unwrap_or_default().to_owned(),
        )
    });
    Tried {
        came: came.collect(),
        output,
        stderr: stderr.clone(),
    }
}

struct Tried {
    came: BTreeMap<String, String>,
    output: Output,
    stderr: String,
}

impl Tried {
    /// Each came to this, and the pipeline beside it has done its work.
    fn assert(&self, expected: &[(&str, &str)]) {
        assert!(self.output.status.success(), "{}", self.stderr);
        let swept = text(&self.output.stdout);
        assert!(swept.starts_with("net/rx{device=/eth0} 1"), "{swept}");
        for (what, came) in expected {
            assert_eq!(self.came[*what], *came, "{what}: {}", self.stderr);
        }
    }
}

/// The program on a kernel without this call.
fn program(without: i64) -> ExitCode {
    if without != 0 {
        let calls = [(without, Vec::new())].into();
        let no_such_call = SeccompAction::Errno(38);
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(calls, SeccompAction::Allow, no_such_call, arch);
        let filter: BpfProgram = filter.unwrap().try_into().unwrap();
        apply_filter(&filter).unwrap();
    }
    statsfs_collector::main(statsfs_collector::BUILD_INFO)
}

fn main() -> ExitCode {
    if let Ok(without) = std::env::var(PROGRAM) {
        return program(without.parse().unwrap());
    }
    let (mine, others) = (listener(), listener());
    let port = |it: &TcpListener| it.local_addr().unwrap().port();
    let (own, other) = (port(&mine), port(&others));
    let beside = tempfile::tempdir().unwrap();
    let beside = beside.path();
    std::fs::write(beside.join("file"), "").unwrap();
    let free = port(&listener());
    let path = |what: &str, name: &str| format!("{what} {}", beside.join(name).display());
    let (read, write) = (path("read", "file"), path("write", "file"));
    let (make, remove) = (path("make", "new"), path("remove", "new"));
    let (to_own, to_other) = (format!("connect {own}"), format!("connect {other}"));
    let listen = format!("listen {free}");
    let all = [
        "read TREE/net/eth0/rx",
        "write TREE/net/eth0/rx",
        &read,
        &write,
        &make,
        &remove,
        &to_own,
        &to_other,
        &listen,
        "execute /bin/true",
        "chroot /",
    ]
    .map(String::from);
    let came = |sandbox, says, without| tried(sandbox, says, own, &all, without);
    let done = all.iter().map(|it| (&**it, "done"));
    let mut open: Vec<(&str, &str)> = done.collect();
    if !is_root() {
        lacks("sandboxed", "root, without whom chroot is refused anyway");
        open.pop();
    }
    came("off", true, "0").assert(&open);

    let is_refused = |it: &str| it != "read TREE/net/eth0/rx" && it != to_own;
    let refused = all.iter().filter(|it| is_refused(it));
    let mut refused: Vec<(&str, &str)> = refused.map(|it| (&**it, REFUSED)).collect();
    refused.retain(|(it, _)| !it.starts_with("execute") && !it.starts_with("chroot"));
    let gone = "No such file or directory (os error 2)";
    refused.retain(|(it, _)| *it != remove);
    let rest = [
        ("read TREE/net/eth0/rx", "done"),
        (&*to_own, "done"),
        (&*remove, gone),
        ("execute /bin/true", NOT_PERMITTED),
        ("chroot /", NOT_PERMITTED),
    ];
    let expected = [&refused[..], &rest].concat();
    for sandbox in ["auto", "strict"] {
        came(sandbox, true, "0").assert(&expected);
    }
    println!("what nobody needs ... cannot be done");

    let silent = came("auto", false, "0");
    let mut expected: Vec<(&str, &str)> = open.clone();
    expected.retain(|(it, _)| !it.starts_with("chroot"));
    expected.push(("chroot /", NOT_PERMITTED));
    silent.assert(&expected);
    let said = "these components do not say what they need";
    assert_eq!(silent.stderr.matches(said).count(), 1, "{}", silent.stderr);
    assert!(
        silent.stderr.contains("components=\"try\""),
        "{}",
        silent.stderr
    );
    println!("what a stranger does not say ... is left to it");

    let old = came("auto", true, LANDLOCK);
    assert_eq!(old.came[&write], "done");
    assert_eq!(old.came["execute /bin/true"], NOT_PERMITTED);
    let said = "the sandbox is not whole here; the rest of it holds lacking=\"this kernel has no Landlock, or a filter of system calls refuses it\"";
    assert_eq!(old.stderr.matches(said).count(), 1, "{}", old.stderr);
    let old = came("strict", true, LANDLOCK);
    assert_eq!(old.output.status.code(), Some(1));
    let said = "`service.sandbox: strict` cannot be had here, `auto` goes on without: this kernel has no Landlock, or a filter of system calls refuses it";
    assert!(old.stderr.contains(said), "{}", old.stderr);
    println!("a kernel without Landlock ... is said to be one");
    assert!(!Path::new(&beside.join("new")).exists());
    ExitCode::SUCCESS
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}
