//! KVM's files in debugfs: `kvm/<thread>-<descriptor>/` is a VM, `vcpu<number>/` in it a vCPU.

mod mount;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use kvm_stats::Scale;
use pipeline::{Context, Value};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::inspected::Purpose;
use crate::procfs::{is_exhausted, list};
use crate::units::value;

/// Files that are no statistic: a table, a thread, a constant.
const NO_STATISTICS: [&str; 3] = ["mmu_rmaps_stat", "pid", "tsc-scaling-ratio-frac-bits"];

/// The most VMs and vCPUs that are listed.
const MAX_DIRECTORIES: usize = 65_536;

const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// A file with a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DebugfsFile {
    pub(crate) name: Arc<str>,
    /// The permission bits.
    pub(crate) mode: u32,
}

/// A VM's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VmDirectory {
    /// When the VM was made, unix ns; 0 if it is not known.
    pub(crate) start: u64,
    pub(crate) files: Vec<DebugfsFile>,
    /// The files of its vCPUs.
    pub(crate) vcpus: BTreeMap<u32, Vec<DebugfsFile>>,
    links: u64,
    /// Tells it from another one of the same name.
    inode: u64,
}

/// `kvm/` in debugfs.
#[derive(Debug)]
pub(crate) struct Debugfs {
    context: Context,
    purpose: Purpose,
    path: PathBuf,
    /// By the thread that made the VM, and its descriptor there.
    vms: BTreeMap<(i32, i32), VmDirectory>,
    /// Whether all directories are read again at the next look.
    is_distrusted: bool,
    /// Whether the files of this name have a number: each is tried once.
    numbers: HashMap<Arc<str>, bool>,
    /// Whether the kernel's lockdown hides files that can be written to; `None` before one was tried.
    pub(crate) is_locked_down: Option<bool>,
    /// Why nothing can be read, if nothing can.
    pub(crate) problem: Option<Errno>,
}

impl Debugfs {
    /// Where its files are now, or would be.
    pub(crate) fn path(context: &Context) -> PathBuf {
        mount::path(context)
    }

    /// Nothing was looked at yet.
    pub(crate) fn new(context: &Context, purpose: Purpose) -> Debugfs {
        Debugfs {
            path: mount::path(context),
            context: context.clone(),
            purpose,
            vms: BTreeMap::new(),
            is_distrusted: false,
            numbers: HashMap::new(),
            is_locked_down: None,
            problem: None,
        }
    }

    /// Opens the directory, for one sweep: what is kept open keeps a mount busy.
    pub(crate) fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty())
    }

    /// Looks which VMs and vCPUs there are now. Whether that is different.
    pub(crate) fn update(&mut self) -> bool {
        let listed = self.open().and_then(|root| Ok((list(&root, ".")?, root)));
        let (names, root) = match listed {
            Ok(it) => it,
            // What is known holds until there is an answer.
            Err(error) if is_exhausted(error) => return false,
            Err(error) => {
                self.problem = Some(error);
                return !std::mem::take(&mut self.vms).is_empty();
            }
        };
        self.problem = None;
        let is_distrusted = std::mem::take(&mut self.is_distrusted);
        let names = names.iter().filter_map(|it| vm_name(it.to_str().ok()?));
        let now: BTreeSet<(i32, i32)> = names.take(MAX_DIRECTORIES).collect();
        let before = self.vms.len();
        self.vms.retain(|vm, _| now.contains(vm));
        let mut changed = self.vms.len() != before;
        for vm in now {
            let name = format!("{}-{}", vm.0, vm.1);
            let stat = rustix::fs::statat(&root, &name, AtFlags::SYMLINK_NOFOLLOW);
            // A directory has a link for each one in it: vCPUs that came.
            let Ok((links, inode)) = stat.map(|it| (links(&it), it.st_ino)) else {
                continue;
            };
            let known = self.vms.get(&vm).filter(|_| !is_distrusted);
            if known.is_none_or(|it| (it.links, it.inode) != (links, inode)) {
                let Ok(mut directory) = VmDirectory::read(&root, &name, links) else {
                    self.is_distrusted = true;
                    continue;
                };
                directory.inode = inode;
                self.try_lockdown(&root, &name, &directory);
                self.keep_numbers(&root, &name, &mut directory);
                changed |= self.vms.get(&vm) != Some(&directory);
                self.vms.insert(vm, directory);
            }
        }
        changed
    }

    /// Reads all directories again at the next look, wherever debugfs is mounted by then.
    pub(crate) fn distrust(&mut self) {
        self.path = mount::path(&self.context);
        self.is_distrusted = true;
        self.is_locked_down = self.is_locked_down.filter(|it| *it);
    }

    /// Takes out the files that have something else than a number, such as a table.
    fn keep_numbers(&mut self, root: &OwnedFd, name: &str, directory: &mut VmDirectory) {
        let vcpus = directory.vcpus.iter_mut();
        let vcpus = vcpus.map(|(number, files)| (format!("{name}/vcpu{number}"), files));
        for (path, files) in vcpus.chain([(name.to_owned(), &mut directory.files)]) {
            files.retain(|file| self.is_hidden(file) || self.has_number(root, &path, file));
        }
    }

    fn has_number(&mut self, root: &OwnedFd, path: &str, file: &DebugfsFile) -> bool {
        if let Some(known) = self.numbers.get(&file.name) {
            return *known;
        }
        if !self.purpose.reads() {
            return true;
        }
        let path = format!("{path}/{}", file.name);
        let read = read(root, path, Scale::One, &mut 0);
        let has_number = read != Err(Errno::INVAL);
        // What cannot be read for another cause may be later.
        if read.is_ok() || !has_number {
            self.numbers.insert(Arc::clone(&file.name), has_number);
        }
        has_number
    }

    /// All VMs.
    pub(crate) fn vms(&self) -> impl Iterator<Item = (&(i32, i32), &VmDirectory)> {
        self.vms.iter()
    }

    /// The directory of this name.
    #[cfg(feature = "bpf")]
    pub(crate) fn vm(&self, name: (i32, i32)) -> Option<&VmDirectory> {
        self.vms.get(&name)
    }

    /// Whether a file is not even tried: each try writes a line to the kernel's log.
    pub(crate) fn is_hidden(&self, file: &DebugfsFile) -> bool {
        self.is_locked_down == Some(true) && file.mode & 0o222 != 0
    }

    /// Under lockdown a file that can be written to cannot even be read
    /// ([`debugfs_locked_down`](https://github.com/torvalds/linux/blob/v6.18/fs/debugfs/file.c)).
    fn try_lockdown(&mut self, root: &OwnedFd, name: &str, directory: &VmDirectory) {
        if self.is_locked_down.is_some() {
            return;
        }
        let writable = directory.files.iter().find(|it| it.mode & 0o222 != 0);
        let Some(writable) = writable else { return };
        let path = format!("{name}/{}", writable.name);
        self.is_locked_down = match rustix::fs::openat(root, path, FILE, Mode::empty()) {
            Ok(_) => Some(false),
            Err(Errno::PERM) => Some(true),
            Err(_) => None,
        };
    }
}

/// Reads the number in a file below `kvm/`.
pub(crate) fn read(
    root: &OwnedFd,
    path: impl Arg,
    scale: Scale,
    lossy: &mut u64,
) -> Result<Value, Errno> {
    let file = rustix::fs::openat(root, path, FILE, Mode::empty())?;
    let mut buffer = [0; 64];
    let length = rustix::io::read(&file, &mut buffer)?;
    let text = std::str::from_utf8(&buffer[..length]).map_err(|_| Errno::INVAL)?;
    let text = text.trim_ascii();
    if let Ok(number) = text.parse::<u64>() {
        return Ok(value(scale, number, lossy));
    }
    // What may be below zero, as the offset of a clock, is of no unit that is multiplied.
    text.parse().map(Value::Int).map_err(|_| Errno::INVAL)
}

impl VmDirectory {
    /// Fails where there is no descriptor or memory left.
    fn read(root: &OwnedFd, name: &str, links: u64) -> Result<VmDirectory, Errno> {
        let (mut directory, mut vcpus) = (VmDirectory::default(), Vec::new());
        (directory.files, directory.start) = files(root, name, &mut vcpus)?;
        for vcpu in vcpus {
            let (files, _) = files(root, &format!("{name}/vcpu{vcpu}"), &mut Vec::new())?;
            directory.vcpus.insert(vcpu, files);
        }
        directory.links = links;
        Ok(directory)
    }
}

/// The files of a directory that have a number, sorted; when they were made, unix ns; and the vCPUs in it.
fn files(
    root: &OwnedFd,
    path: &str,
    vcpus: &mut Vec<u32>,
) -> Result<(Vec<DebugfsFile>, u64), Errno> {
    let (mut files, mut start) = (Vec::new(), 0);
    let names = match list(root, path) {
        Err(error) if is_exhausted(error) => return Err(error),
        names => names.unwrap_or_default(),
    };
    for name in names {
        let Ok(name) = name.to_str() else { continue };
        let stat = rustix::fs::statat(root, format!("{path}/{name}"), AtFlags::SYMLINK_NOFOLLOW);
        let Ok(stat) = stat else { continue };
        let vcpu: Option<u32> = name.strip_prefix("vcpu").and_then(|it| it.parse().ok());
        let has_room = vcpus.len() < MAX_DIRECTORIES;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => vcpus.extend(vcpu.filter(|_| has_room)),
            FileType::RegularFile if is_number(name) => {
                files.push(DebugfsFile {
                    name: pipeline::telemetry::escaped(name).into(),
                    mode: stat.st_mode & 0o7777,
                });
                start = modified_unix_nano(&stat);
            }
            _ => {}
        }
    }
    files.sort();
    Ok((files, start))
}

/// Whether a file has a number that means what its name says: those of histograms show one bucket only.
fn is_number(name: &str) -> bool {
    !NO_STATISTICS.contains(&name) && !name.ends_with("_hist")
}

#[allow(clippy::unnecessary_fallible_conversions, clippy::useless_conversion)] // other architectures have other types
fn links(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_nlink).unwrap_or_default()
}

/// When a file was modified, unix ns; 0 if that is not in the past.
#[allow(clippy::unnecessary_fallible_conversions, clippy::useless_conversion)] // other architectures have other types
fn modified_unix_nano(stat: &rustix::fs::Stat) -> u64 {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
    let nanos = u64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let time = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    if time <= pipeline::now_unix_nano() {
        time
    } else {
        0
    }
}

/// `<thread>-<descriptor>`.
fn vm_name(name: &str) -> Option<(i32, i32)> {
    let (thread, fd) = name.split_once('-')?;
    Some((thread.parse().ok()?, fd.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_a_vms_by_its_name() {
        assert_eq!(vm_name("1234-12"), Some((1234, 12)));
        for name in ["exits", "1234", "a-1", "1-"] {
            assert_eq!(vm_name(name), None, "{name}");
        }
    }
}
