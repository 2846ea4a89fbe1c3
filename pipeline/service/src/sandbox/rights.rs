//! What the components of a configuration need, and what that comes to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pipeline::{FileWatch, Needs, Right};
use rustix::thread::CapabilitySet;

use super::capabilities::{self, Access, User};
use super::paths;

/// What a component has said that it needs, to be asked once it is about to run.
pub(crate) struct ComponentNeeds {
    /// Its id in the configuration.
    pub(crate) id: String,
    /// What it has said.
    pub(crate) needs: Needs,
    /// It runs nothing of its own: where it says nothing, it needs nothing.
    pub(crate) is_processor: bool,
}

/// What a component needs.
#[derive(Debug)]
pub(super) struct ComponentRights {
    pub(super) id: String,
    /// `None`: nobody knows.
    pub(super) rights: Option<BTreeSet<Right>>,
}

/// What all components need.
#[derive(Debug)]
pub(crate) struct Rights(pub(super) Vec<ComponentRights>);

/// Names of hosts are asked for over UDP, and where an answer is too long for it over TCP.
const DNS: u16 = 53;

/// What the C library finds names by
/// ([nsswitch.conf(5)](https://man7.org/linux/man-pages/man5/nsswitch.conf.5.html)): files that are often made anew, its
/// modules, and what these keep.
const RESOLVER: [&str; 9] = [
    "/etc",
    "/run/systemd/resolve",
    "/run/nscd",
    "/var/lib/sss",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
];

impl Rights {
    /// Asks all of them, and adds the files that are watched.
    pub(crate) fn of(needs: Vec<ComponentNeeds>, files: &[FileWatch]) -> Rights {
        let mut all: Vec<ComponentRights> = Vec::new();
        for ComponentNeeds {
            id,
            needs,
            is_processor,
        } in needs
        {
            let nothing = is_processor.then(Vec::new);
            let said = needs.take().or(nothing);
            let rights = said.map(BTreeSet::from_iter);
            // A processor has one instance for each pipeline.
            match all.iter_mut().find(|it| it.id == id) {
                Some(same) => same.rights = same.rights.take().zip(rights).map(joined),
                None => all.push(ComponentRights { id, rights }),
            }
        }
        for watch in files {
            let of_it = all.iter_mut().find(|it| *it.id == **watch.component());
            let known = of_it.and_then(|it| it.rights.as_mut());
            let paths = watch.paths().iter().cloned();
            known
                .into_iter()
                .for_each(|it| it.extend(paths.clone().map(Right::Read)));
        }
        Rights(all)
    }

    /// The components that have said nothing.
    pub(super) fn unknown(&self) -> Vec<&str> {
        let unknown = self.0.iter().filter(|it| it.rights.is_none());
        unknown.map(|it| &*it.id).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Right> {
        self.0.iter().filter_map(|it| it.rights.as_ref()).flatten()
    }

    pub(super) fn has(&self, right: &Right) -> bool {
        self.iter().any(|it| it == right)
    }

    /// Whether something is looked at that is another process's.
    pub(super) fn looks_into_others(&self) -> bool {
        self.has(&Right::OtherProcesses) || self.has(&Right::OthersDescriptors)
    }

    /// What may be read: files, and directories with all below them.
    pub(super) fn read(&self) -> BTreeSet<PathBuf> {
        let mut all: BTreeSet<PathBuf> = self.iter().flat_map(read_paths).collect();
        // How the program fares itself: its memory, its threads, whether SIGHUP is ignored.
        all.insert("/proc".into());
        all
    }

    /// What may be written: the same.
    pub(super) fn written(&self) -> BTreeSet<PathBuf> {
        let all = self.iter().filter_map(|it| match it {
            Right::Write(path) => Some(paths::written(path)),
            Right::ListenAt(path) => Some(paths::written_beside(path)),
            _ => None,
        });
        all.flatten().collect()
    }

    pub(super) fn devices(&self) -> BTreeSet<PathBuf> {
        let all = self.iter().filter_map(|it| match it {
            Right::Device(path) if path.exists() => Some(path.clone()),
            _ => None,
        });
        all.collect()
    }

    /// The ports that may be connected to; `None`: all.
    pub(super) fn connected(&self) -> Option<BTreeSet<u16>> {
        let ports = self.iter().filter_map(|it| match it {
            Right::Connect(port) => Some(*port),
            Right::Resolve => Some(DNS),
            _ => None,
        });
        (!self.has(&Right::ConnectAnywhere)).then(|| ports.collect())
    }

    /// The ports that may be listened on.
    pub(super) fn listened(&self) -> BTreeSet<u16> {
        let ports = self.iter().filter_map(|it| match it {
            Right::Listen(port) => Some(*port),
            _ => None,
        });
        ports.collect()
    }

    /// The capabilities that it takes for a process of this user.
    pub(super) fn capabilities(&self, user: &User) -> CapabilitySet {
        self.iter().map(|it| to_have(it, user)).collect()
    }
}

/// The capabilities that a right takes for a process of this user.
pub(super) fn to_have(right: &Right, user: &User) -> CapabilitySet {
    match right {
        Right::Read(path) => user.to_open(path, Access::Read),
        Right::ReadTree(path) => user.to_open(path, Access::ReadTree),
        Right::ReadFileSystem(path) => user.to_open(&paths::file_system(path), Access::Read),
        Right::Write(path) | Right::ListenAt(path) => user.to_open(path, Access::Write),
        Right::Listen(port) => capabilities::to_listen(*port),
        Right::OtherProcesses | Right::OthersDescriptors => {
            CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH
        }
        Right::Bpf => CapabilitySet::BPF | CapabilitySet::PERFMON,
        Right::Capability(name) => capabilities::named(name),
        _ => CapabilitySet::empty(),
    }
}

fn joined((mut one, other): (BTreeSet<Right>, BTreeSet<Right>)) -> BTreeSet<Right> {
    one.extend(other);
    one
}

/// The files and directories that a right takes to be read.
fn read_paths(right: &Right) -> BTreeSet<PathBuf> {
    match right {
        Right::Read(path) => paths::read(path),
        Right::ReadTree(path) => paths::read_tree(path),
        Right::ReadFileSystem(path) => paths::read(&paths::file_system(path)),
        Right::Resolve => {
            let there = RESOLVER
                .iter()
                .filter_map(|it| Path::new(it).canonicalize().ok());
            let linked = paths::read(Path::new("/etc/resolv.conf"));
            there.chain(linked).collect()
        }
        _ => BTreeSet::new(),
    }
}
