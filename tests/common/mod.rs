//! The real binary, run as a user would run it.

pub(crate) mod alone;
pub(crate) mod authority;
mod fault_table;
pub(crate) mod peer;
mod points;
mod ports;
mod series_counts;
pub(crate) mod strict_peer;
mod terminal;
mod tree;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

pub(crate) use fault_table::assert_fault;
pub(crate) use pipeline::testing::lacks;
pub(crate) use points::read_points;
pub(crate) use ports::free_address;
pub(crate) use series_counts::SeriesCounts;
pub(crate) use terminal::on_terminal;
pub(crate) use tree::{device, file, shared_memory};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_statsfs-collector");

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program with this configuration on its standard input.
pub(crate) fn collector(config: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(BINARY);
    command.args(arguments).args(["--config", "-"]);
    spawn(command, config)
}

pub(crate) fn spawn(mut command: Command, input: &str) -> Child {
    add_sandbox(&mut command);
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end before it has read all of it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    kill_when_late(&child);
    child
}

/// `SANDBOX=strict` runs the program by that sandbox, whatever a test is about.
fn add_sandbox(command: &mut Command) {
    let Ok(sandbox) = std::env::var("SANDBOX") else {
        return;
    };
    let is_it = |it: &std::ffi::OsStr| it == BINARY;
    if is_it(command.get_program()) || command.get_args().any(is_it) {
        command
            .arg("--set")
            .arg(format!("service.sandbox={sandbox}"));
    }
}

/// A test that asks again and again fails once the program that it asks has ended, or was killed.
pub(crate) fn assert_runs(child: &mut Child) {
    let ended = child.try_wait().unwrap();
    assert!(ended.is_none(), "the program has ended: {ended:?}");
}

/// A test that waits for what never comes fails, instead of waiting for ever: its program is killed after ten minutes, which
/// none takes, however loaded the machine is.
#[allow(clippy::print_stderr)] // for who looks at the tests
fn kill_when_late(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    std::thread::spawn(move || {
        let timeout = Timespec::try_from(Duration::from_mins(10)).unwrap();
        // It can be read from when the program has ended. The thread and its descriptor must not outlive that: a run of all
        // tests starts hundreds of programs in that time.
        let has_ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
        if has_ended == Ok(0) {
            eprintln!("a program is killed: its test waited for ten minutes");
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
    });
}

/// Lets a random time pass, of up to so many turns of a few dozen cycles. A yield would not do: where others build on the
/// same cores, each takes as long as their time slice.
pub(crate) fn spin(random: &mut fastrand::Rng, turns: u32) {
    (0..random.u32(0..turns)).for_each(|_| std::hint::spin_loop());
}

/// The program under strace (as its grandchild: the child is the program), which writes down every open.
pub(crate) fn traced(config: &str, log: &Path) -> Child {
    let mut command = Command::new("strace");
    command.args([
        "--follow-forks",
        "--daemonize",
        "--quiet=attach,personality",
        "--trace=open,openat,openat2",
        "--output",
    ]);
    command.arg(log).arg(BINARY).args(["--config", "-"]);
    spawn(command, config)
}

/// What strace wrote, once it has written that this process exited. It pads the numbers of processes.
pub(crate) fn trace(log: &Path, process: u32) -> String {
    let process = process.to_string();
    let is_last =
        |line: &str| line.split(' ').next() == Some(&process) && line.contains("+++ exited");
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        if text.lines().any(is_last) {
            return text;
        }
        std::thread::yield_now();
    }
}

/// The number behind the last `pattern` (` points_sent=`, `permanent=`), if it is there.
pub(crate) fn find_count(logs: &str, pattern: &str) -> Option<u64> {
    let after = &logs[logs.rfind(pattern)? + pattern.len()..];
    let digits = after.chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().ok()
}

/// The number behind the last `pattern`; 0 if it is not there.
pub(crate) fn count_after(logs: &str, pattern: &str) -> u64 {
    find_count(logs, pattern).unwrap_or_default()
}

/// The last count of this name in a summary; 0 if it is in none.
pub(crate) fn count(logs: &str, name: &str) -> u64 {
    count_after(logs, &format!(" {name}="))
}

/// Resident memory in KiB.
pub(crate) fn memory(child: &Child) -> u64 {
    memory_of(child, "VmRSS:")
}

/// The most of it that there was.
pub(crate) fn peak_memory(child: &Child) -> u64 {
    memory_of(child, "VmHWM:")
}

/// Memory in KiB, by the key that /proc/PID/status has for it: `RssAnon:`; or another number that stands there.
pub(crate) fn memory_of(child: &Child, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Open descriptors, and resident memory in KiB.
pub(crate) fn descriptors_and_memory(child: &Child) -> (usize, u64) {
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    (descriptors.count(), memory(child))
}

/// Waits until it has so many threads that read and scan, or wait for that.
pub(crate) fn wait_for_threads(child: &Child, count: usize) {
    while blocking_threads(child) != count {
        std::thread::yield_now();
    }
}

fn blocking_threads(child: &Child) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    // One may have ended meanwhile.
    let is_one = |name: &std::io::Result<String>| name.as_ref().is_ok_and(|it| it == "blocking\n");
    names.filter(is_one).count()
}

/// How many ticks there were, missed ones too.
pub(crate) fn ticks(logs: &str) -> u64 {
    count(logs, "sweeps") + count(logs, "sweeps_skipped")
}

/// Runs it to its end.
pub(crate) fn run(config: &str, arguments: &[&str]) -> Output {
    collector(config, arguments).wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One sweep by this receiver and these processors, as sorted lines without alignment.
pub(crate) fn once(receiver: &str, processors: &str) -> Vec<String> {
    let output = run(&config(receiver, processors, "{format: text}"), &["--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    lines(&output.stdout)
}

/// Lines with runs of blanks as one.
pub(crate) fn lines(stdout: &[u8]) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text(stdout).lines().map(words).collect()
}

/// A pipeline of one receiver, these processors (`metadata: {}, batch: {}`), and stdout.
pub(crate) fn config(receiver: &str, processors: &str, stdout: &str) -> String {
    let ids: Vec<&str> = processors
        .split(';')
        .map(|it| it.split(':').next().unwrap().trim())
        .filter(|it| !it.is_empty())
        .collect();
    let processors: Vec<&str> = processors.split(';').map(str::trim).collect();
    let processors = processors.join("\n  ");
    format!(
        "receivers:\n  statsfs: {receiver}\nprocessors:\n  {processors}\nexporters:\n  stdout: {stdout}\nservice:\n  pipelines:\n    \
         metrics: {{receivers: [statsfs], processors: [{}], exporters: [stdout]}}\n",
        ids.join(", ")
    )
}

/// Reads lines until one is the last that is wanted; gives them all.
pub(crate) fn read_until(child: &mut Child, is_last: impl FnMut(&str) -> bool) -> Vec<String> {
    lines_until(&mut BufReader::new(child.stdout.as_mut().unwrap()), is_last)
}

pub(crate) fn lines_until(
    from: &mut impl BufRead,
    mut is_last: impl FnMut(&str) -> bool,
) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            from.read_line(&mut line).unwrap() > 0,
            "ended before its time, after {all:#?}"
        );
        all.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
        if is_last(all.last().unwrap()) {
            return all;
        }
    }
}

/// Tells the program to end, which has to succeed. The rest of its standard error.
pub(crate) fn end(child: Child) -> String {
    signal(&child, Signal::TERM);
    ended(child)
}

/// Waits for the end of the program, which has to succeed. The rest of its standard error.
pub(crate) fn ended(mut child: Child) -> String {
    let (mut logs, mut pipe) = (String::new(), child.stderr.take().unwrap());
    pipe.read_to_string(&mut logs).unwrap();
    assert!(child.wait().unwrap().success(), "{logs}");
    logs
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Ends it, and checks that it logged no warning.
pub(crate) fn end_without_warning(child: Child) {
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
}

/// Whether a program is there to be run.
pub(crate) fn has_program(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|path| path.join(program).is_file())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The program as another user would run it, below a directory that everybody may enter; `None`, reported on standard
/// error, where that cannot be done.
pub(crate) fn as_nobody(test: &str, directory: &tempfile::TempDir) -> Option<Command> {
    if !has_program("setpriv") {
        lacks(test, "setpriv");
        return None;
    }
    let binary = directory.path().join("statsfs-collector");
    // Not by `fs::copy`: a program that another thread starts meanwhile has the copy open for writing until it is executed,
    // and what is open for writing cannot be executed.
    let copied = Command::new("cp").arg(BINARY).arg(&binary).status();
    assert!(copied.unwrap().success());
    std::fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
        ])
        .arg(&binary);
    Some(command)
}
