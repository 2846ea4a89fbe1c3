//! The reads alone, in C: what no program in any language does for less.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use kvm_bpf::KvmIterator;
use rustix::io::FdFlags;

use super::owners::Owners;
use super::sources::{INTERVAL, Source};

/// The C program, and a BPF iterator for it.
pub(super) struct Proofs {
    program: PathBuf,
    iterator: Option<KvmIterator>,
}

/// How the C program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A process is known by a descriptor, a block is read whole.
    Kept,
    /// As this program does: the same, and before it is read a descriptor is asked how it was opened.
    Asked,
    /// All is looked up at each sweep, and the header is read first.
    Checked,
    /// A pass of the BPF iterator.
    Pass,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::Kept => "C: take, read whole, close",
            Way::Asked => "C: the same, asked before how it was opened",
            Way::Checked => {
                "C: take, read the header and then the numbers, close, with a pidfd each time"
            }
            Way::Pass => "C: one pass of the iterator",
        }
    }

    /// The way that is as a source's.
    pub(super) fn of(source: Source) -> Option<Way> {
        match source {
            Source::StatsFd => Some(Way::Asked),
            Source::Bpf => Some(Way::Pass),
            Source::All | Source::Files => None,
        }
    }
}

impl Proofs {
    /// Builds it, and loads the iterator where that can be.
    pub(super) fn build(directory: &Path) -> io::Result<Proofs> {
        let program = directory.join("proofs");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/kvm/proofs.c");
        let mut cc = Command::new("cc");
        let built = cc.args(["-O2", "-o"]).arg(&program).arg(source).output();
        let built = built.map_err(|error| io::Error::other(format!("`cc`: {error}")))?;
        if !built.status.success() {
            let stderr = String::from_utf8_lossy(&built.stderr).into_owned();
            return Err(io::Error::other(format!("`cc`: {stderr}")));
        }
        let iterator = KvmIterator::load().ok();
        Ok(Proofs { program, iterator })
    }

    /// Whether it can read so.
    pub(super) fn has(&self, way: Way) -> bool {
        way != Way::Pass || self.iterator.is_some()
    }

    /// The CPU time of the median of so many sweeps, ns.
    pub(super) fn sweep(&self, way: Way, sweeps: u64, owners: &Owners) -> io::Result<u64> {
        let mut command = Command::new(&self.program);
        let name = match way {
            Way::Kept => "kept",
            Way::Asked => "asked",
            Way::Checked => "checked",
            Way::Pass => "pass",
        };
        command.args([name, &sweeps.to_string(), &INTERVAL.to_string()]);
        let iterator = self.iterator.as_ref().filter(|_| way == Way::Pass);
        // One that the C program inherits; it is closed here after that.
        let link = iterator.map(|it| it.as_fd().try_clone_to_owned());
        let link = link.transpose()?;
        if let Some(link) = &link {
            rustix::io::fcntl_setfd(link, FdFlags::empty())?;
            command.arg(link.as_raw_fd().to_string());
        } else {
            command.args(owners.pids());
        }
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let cpu = text.trim().parse();
        cpu.map_err(|_| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            io::Error::other(format!("{}: {stderr}", way.name()))
        })
    }
}
