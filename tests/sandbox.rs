//! The program has no more rights than its configuration needs, and all that it does goes on.

use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use crate::common::{BINARY, collector, end, is_root, lines_until, text};

/// What `/proc/PID/status` says by this key, of each thread.
fn of_threads(process: u32, key: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let value = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().to_owned())
    };
    // One may have ended meanwhile.
    tasks.filter_map(|task| value(task.unwrap())).collect()
}

fn config(directory: &Path, sandbox: &str) -> String {
    format!(
        "receivers:\n  statsfs: {{root: /sys/class/net, subsystem: net, layout: '{{device}}/statistics/{{metric}}', follow_links: true}}\n  \
         internal: {{}}\n\
         processors: {{metadata: {{}}, batch: {{}}}}\n\
         exporters:\n  prometheus: {{endpoint: '127.0.0.1:0'}}\n  \
         otlp: {{endpoint: '127.0.0.1:1', tls: {{insecure: true}}, sending_queue: {{storage: file_storage}}}}\n\
         extensions:\n  health_check: {{endpoint: '127.0.0.1:0'}}\n  file_storage: {{directory: '{}'}}\n\
         service:\n  sandbox: {sandbox}\n  shutdown_timeout: 100ms\n  extensions: [health_check, file_storage]\n  \
         pipelines: {{metrics: {{receivers: [statsfs, internal], processors: [metadata, batch], exporters: [prometheus, otlp]}}}}\n",
        directory.join("queue").display()
    )
}

#[test]
fn every_thread_has_lost_what_nobody_needs() {
    let directory = tempfile::tempdir().unwrap();
    for (sandbox, filter, nothing_new) in
        [("auto", "2", "1"), ("strict", "2", "1"), ("off", "0", "0")]
    {
        let mut child = collector(&config(directory.path(), sandbox), &[]);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let logs = lines_until(&mut stderr, |line| line.contains(" sweeping "));
        let process = child.id();
        let threads = of_threads(process, "Name:");
        assert!(threads.len() >= 5, "{threads:?}: {logs:#?}");
        let all_are = |key: &str, value: &str| {
            let values = of_threads(process, key);
            assert!(
                values.iter().all(|it| it == value),
                "{sandbox}: {key} {values:?}"
            );
        };
        all_are("NoNewPrivs:", nothing_new);
        all_are("Seccomp:", filter);
        if sandbox != "off" {
            for key in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
                all_are(key, "0000000000000000");
            }
            if is_root() {
                all_are("CapBnd:", "0000000000000000");
            }
        }
        child.stderr = Some(stderr.into_inner());
        end(child);
    }
}

#[test]
fn inspect_shows_what_a_configuration_needs_and_how_to_give_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    fs::write(&file, config(directory.path(), "auto")).unwrap();
    let rights = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["inspect", "--rights"]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let shown = rights(&["--config", file.to_str().unwrap()]);
    let queue = directory.path().join("queue").display().to_string();
    for line in [
        "statsfs\n  reads all below /sys/class/net\n  reads the whole file system of /sys/class/net\n",
        "internal\n  needs nothing\n",
        "otlp\n  connects to TCP port 1\n",
        "health_check\n  listens on a TCP port that the kernel chooses\n",
        &format!("file_storage\n  writes {queue}\n"),
        "  capabilities: none\n",
        "  TCP ports to connect to: 1\n",
        "  TCP ports to listen on: 0\n",
        "  setcap: no capability is needed\n",
        &format!("    ReadWritePaths={queue}\n"),
        " --volume /sys:/sys:ro ",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let shown = rights(&[
        "--set",
        "receivers.kvm.sources=[stats_fd]",
        "--set",
        "receivers.statsfs.root=/sys/class/block",
    ]);
    for line in [
        "kvm\n  reads /proc\n  looks into other processes\n  takes descriptors of other processes\n",
        "  files and ports: all, since Landlock forbids to look into other processes\n",
        "  setcap cap_dac_read_search,cap_sys_ptrace=ep statsfs-collector\n",
        "    CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE\n",
        "    SystemCallFilter=pidfd_open pidfd_getfd\n",
        " --cap-add SYS_PTRACE --pid host ",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
}

#[test]
fn a_tree_that_comes_later_and_comes_again_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("later/tree");
    let config = format!(
        "receivers: {{statsfs: {{root: '{}', collection_interval: 50ms, rescan_interval: 50ms}}}}\n\
         exporters: {{stdout: {{}}}}\n\
         service: {{sandbox: strict, pipelines: {{metrics: {{receivers: [statsfs], exporters: [stdout]}}}}}}\n",
        root.display()
    );
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    lines_until(&mut stderr, |line| line.contains(" sweeping "));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for value in ["1", "2"] {
        fs::create_dir_all(root.join("net/eth0")).unwrap();
        fs::write(root.join("net/eth0/rx"), value).unwrap();
        let line = format!("net/rx{{device=/eth0}} {value}");
        lines_until(&mut stdout, |it| it.starts_with(&line));
        fs::remove_dir_all(directory.path().join("later")).unwrap();
    }
    (child.stdout, child.stderr) = (Some(stdout.into_inner()), Some(stderr.into_inner()));
    end(child);
}
