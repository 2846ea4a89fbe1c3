//! The program that sweeps a file system that can be made to hang.

use std::io::{BufReader, Read};
use std::process::{Child, ChildStderr};

use rustix::process::Signal;

use super::fuse::HangingFilesystem;
use crate::common::{
    SeriesCounts, collector, config, lacks, lines_until, signal, wait_for_threads,
};

/// Six files of a device in each of these subsystems.
pub(super) fn files(subsystems: &[&str]) -> Vec<String> {
    let files = |subsystem| (0..6).map(move |file| format!("{subsystem}/d/f{file}"));
    subsystems.iter().flat_map(files).collect()
}

/// The file system, and the program that sweeps it.
pub(super) struct Run {
    pub(super) system: HangingFilesystem,
    pub(super) child: Child,
    pub(super) counts: SeriesCounts,
    pub(super) stderr: BufReader<ChildStderr>,
}

impl Run {
    /// Starts both; `None`, reported on standard error, where FUSE is not to be had.
    pub(super) fn start(test: &str, subsystems: &[&str], options: &str) -> Option<Run> {
        let Some(system) = HangingFilesystem::mount(&files(subsystems)) else {
            lacks(test, "/dev/fuse, and root or fusermount3");
            return None;
        };
        Some(Run::of(system, options))
    }

    pub(super) fn of(system: HangingFilesystem, options: &str) -> Run {
        Run::with(system, options, &[])
    }

    pub(super) fn with(system: HangingFilesystem, options: &str, arguments: &[&str]) -> Run {
        let default = |key: &str, value: &str| {
            if options.contains(key) {
                String::new()
            } else {
                format!("{key}: {value}, ")
            }
        };
        let receiver = format!(
            "{{root: {}, {}{}{options}}}",
            system.root().display(),
            default("collection_interval", "20ms"),
            default("timeout", "300ms"),
        );
        Run::of_config(system, &config(&receiver, "batch: {}", "{}"), arguments)
    }

    pub(super) fn of_config(system: HangingFilesystem, config: &str, arguments: &[&str]) -> Run {
        let mut child = collector(config, arguments);
        Run {
            counts: SeriesCounts::of(&mut child),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            system,
            child,
        }
    }

    /// Reads its standard error until this is in it.
    pub(super) fn wait_for_log(&mut self, what: &str) {
        lines_until(&mut self.stderr, |line| line.contains(what));
    }

    /// Waits until so many threads read and scan, or wait for that.
    pub(super) fn wait_for_threads(&self, count: usize) {
        wait_for_threads(&self.child, count);
    }

    /// Tells it to end, and waits until it has. The rest of its standard error.
    pub(super) fn end(&mut self, stuck: &[&str]) -> String {
        signal(&self.child, Signal::TERM);
        self.ends(stuck)
    }

    /// Waits until it has ended; then what is still stuck in the kernel gets its answer, which it takes for the process to
    /// go. The rest of its standard error.
    pub(super) fn ends(&mut self, stuck: &[&str]) -> String {
        let stat = format!("/proc/{0}/task/{0}/stat", self.child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        stuck.iter().for_each(|path| self.system.answer(path));
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(code, Some(0), "{rest}");
        rest
    }
}

/// A test that fails shows what the program said.
impl Drop for Run {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
            self.system.answer_all();
            let status = self.child.wait();
            let mut rest = String::new();
            let _ = self.stderr.read_to_string(&mut rest);
            eprintln!("{status:?}: {rest}");
        }
    }
}

/// The file's series.
pub(super) fn series(subsystem: &str, file: &str) -> String {
    format!("{subsystem}/{file}{{device=/d}}")
}
