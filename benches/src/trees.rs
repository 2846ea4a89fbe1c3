//! The trees that are read: files on tmpfs, veth pairs in a network namespace of our own, VMs in debugfs.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::reading::Reading;

/// A tree, and how a receiver is told of it.
pub(crate) struct Tree {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    /// Further keys of the receiver.
    pub(crate) keys: &'static str,
    pub(crate) subsystems: usize,
    /// About how many files there are.
    pub(crate) files: usize,
    /// Directories with files.
    pub(crate) directories: Vec<PathBuf>,
    /// Whether files can be kept open.
    pub(crate) keeps: bool,
}

impl Tree {
    /// As it is swept where a sweep has its time.
    pub(crate) fn reading(&self) -> Reading {
        self.reading_each(self.interval_ms())
    }

    /// As it is swept each so many ms.
    pub(crate) fn reading_each(&self, interval: usize) -> Reading {
        let (root, keys) = (self.root.display(), self.keys);
        let keys = format!(
            "root: '{root}', collection_interval: {interval}ms, timeout: 1h, limits: {{series: 2000000}}{keys}"
        );
        Reading {
            receiver: ("statsfs", keys),
            actions: "",
            batch: "",
            subsystems: self.subsystems,
        }
    }

    /// A collection interval in which a sweep has its time: 8 µs a file.
    pub(crate) fn interval_ms(&self) -> usize {
        10 + self.files * 8 / 1_000
    }
}

/// Files of a device, on tmpfs.
const FILES: usize = 25;

/// So many files of this many subsystems on tmpfs; with `linked`, all are links to one file, where memory is short.
pub(crate) fn tmpfs(at: &Path, files: usize, subsystems: usize, linked: bool) -> io::Result<Tree> {
    let devices = files / FILES / subsystems;
    let mut directories = Vec::new();
    let root = at.join(format!("{files}"));
    fs::create_dir(&root)?;
    let one = at.join(format!("{files}.one"));
    fs::write(&one, "123456789\n")?;
    for subsystem in 0..subsystems {
        for device in 0..devices {
            let directory = root.join(format!("s{subsystem}/device{device}"));
            fs::create_dir_all(&directory)?;
            for file in 0..FILES {
                let file = directory.join(format!("metric_{file}"));
                if linked {
                    fs::hard_link(&one, file)?;
                } else {
                    fs::write(file, format!("{}\n", 1_000_000 + files))?;
                }
            }
            directories.push(directory);
        }
    }
    Ok(Tree {
        name: format!("tmpfs {}", short(devices * FILES * subsystems)),
        root,
        keys: "",
        subsystems,
        files,
        directories,
        keeps: false,
    })
}

/// A network namespace and a sysfs of our own: what is made there is nobody else's.
pub(crate) fn own_network(sysfs: &Path) -> io::Result<()> {
    own_mounts(UnshareFlags::NEWNET)?;
    fs::create_dir_all(sysfs)?;
    mount("sysfs", sysfs, "sysfs", MountFlags::empty(), None)?;
    Ok(())
}

/// debugfs where everybody looks for it, mounted for us alone if it is not there.
pub(crate) fn own_debugfs() -> io::Result<()> {
    own_mounts(UnshareFlags::empty())?;
    let debugfs = Path::new("/sys/kernel/debug");
    if !debugfs.join("kvm").exists() {
        mount("debugfs", debugfs, "debugfs", MountFlags::empty(), None)?;
    }
    Ok(())
}

/// Mounts of our own, and what else is to be our own.
fn own_mounts(more: UnshareFlags) -> io::Result<()> {
    // SAFETY of the call: no other thread runs yet, and no descriptor table is parted.
    #[allow(unsafe_code)]
    unsafe {
        unshare_unsafe(UnshareFlags::NEWNS | more)?;
    }
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", propagation)?;
    Ok(())
}

/// Files of an interface's statistics.
const STATISTICS: usize = 24;

/// Veth pairs until there are so many files; those of a smaller tree stay.
pub(crate) fn veth(sysfs: &Path, files: usize) -> io::Result<Tree> {
    let net = sysfs.join("class/net");
    let mut there = fs::read_dir(&net)?.count();
    let mut batch = String::new();
    while there * STATISTICS < files {
        let _ = writeln!(batch, "link add v{there}a type veth peer name v{there}b");
        there += 2;
    }
    let script = sysfs.with_extension("ip");
    fs::write(&script, batch)?;
    let status = Command::new("ip").arg("-batch").arg(&script).status()?;
    if !status.success() {
        return Err(io::Error::other("ip cannot make veth pairs"));
    }
    let interfaces = fs::read_dir(&net)?.map(|entry| entry.map(|it| it.path().join("statistics")));
    let mut directories = interfaces.collect::<io::Result<Vec<_>>>()?;
    directories.retain(|it| it.is_dir());
    Ok(Tree {
        name: format!("veth {}", short(directories.len() * STATISTICS)),
        root: net,
        keys: ", subsystem: net, layout: '{device}/statistics/{metric}', follow_links: true",
        subsystems: 1,
        files,
        directories,
        keeps: true,
    })
}

/// VMs that live as long as this does.
pub(crate) struct Vms {
    _alive: Vec<(VmFd, Vec<VcpuFd>)>,
}

/// Twenty VMs of so many vCPUs in debugfs's `kvm/`; a debugfs is mounted here.
pub(crate) fn kvm(debugfs: &Path, vcpus: u64) -> io::Result<(Tree, Vms)> {
    fs::create_dir_all(debugfs)?;
    mount("debugfs", debugfs, "debugfs", MountFlags::empty(), None)?;
    let kvm = Kvm::new()?;
    let vm = || {
        let vm = kvm.create_vm()?;
        let vcpus = (0..vcpus).map(|id| vm.create_vcpu(id));
        let vcpus = vcpus.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, kvm_ioctls::Error>((vm, vcpus))
    };
    let vms = (0..20).map(|_| vm()).collect::<Result<Vec<_>, _>>()?;
    let root = debugfs.join("kvm");
    let directories = directories(&root)?;
    let tree = Tree {
        name: format!("kvm, 20 VMs of {vcpus} vCPUs"),
        root,
        keys: ", subsystem: kvm",
        subsystems: 1,
        files: 1_000,
        directories,
        keeps: false,
    };
    Ok((tree, Vms { _alive: vms }))
}

/// KVM's directories in debugfs, as they are at this moment.
pub(crate) fn vms() -> io::Result<Tree> {
    let root = PathBuf::from("/sys/kernel/debug/kvm");
    let mut directories = directories(&root)?;
    // The host's sums are no VM's.
    directories.retain(|it| *it != root);
    Ok(Tree {
        name: "debugfs".into(),
        keys: ", subsystem: kvm, layout: '{vm}/{vcpu}/{metric}'",
        root,
        subsystems: 1,
        files: 1_250,
        directories,
        keeps: false,
    })
}

/// A directory, and all below it.
fn directories(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut directories = Vec::new();
    let mut below = vec![root.to_owned()];
    while let Some(directory) = below.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                below.push(entry.path());
            }
        }
        directories.push(directory);
    }
    Ok(directories)
}

fn short(files: usize) -> String {
    match files {
        0..1_000 => files.to_string(),
        1_000..1_000_000 => format!("{}k", files / 1_000),
        _ => format!("{}M", files / 1_000_000),
    }
}
