//! What the running kernel says of KVM's files in debugfs: by the descriptors of its statistics, for which an empty VM is
//! made. That is done once, when the first file of a VM is seen: another VM is there then, so that ours switches nothing on;
//! types that came later would change series that are known by then.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use kvm_stats::{Level, OwnVm, StatsFile};
use pipeline::telemetry::{Counter, Counters, Warnings, escaped};
use pipeline::{Context, Source};

use crate::kernel_type::KernelType;

/// Statistics of kinds that this program does not know.
const STATISTICS_UNKNOWN: Counter = Counter::gauge("statistics_unknown");

const NOT_ASKED: &str =
    "the kernel's own types of KVM's statistics cannot be had; the catalog's hold";
const UNKNOWN: &str = "statistics of a kind that this program does not know; not read";
const DISAGREE: &str =
    "the running kernel and the catalog disagree about a statistic; the kernel's word holds";

/// How long the kernel is waited for: it takes a millisecond, and whoever waits may hold up data.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the running kernel says, asked for when it is needed for the first time.
#[derive(Debug)]
pub(crate) struct Kernel {
    counters: Counters,
    warnings: Warnings,
    types: OnceLock<KernelTypes>,
}

/// The types of all statistics, by name.
#[derive(Debug, Default)]
struct KernelTypes {
    vm: HashMap<String, KernelType>,
    vcpu: HashMap<String, KernelType>,
    /// The names of those that this program does not know how to read.
    unknown: BTreeSet<String>,
}

/// Whether a file is known to be a sum of others: KVM's at the top of debugfs are, and those of a VM that its vCPUs have
/// too. For that nobody is asked.
pub(crate) fn is_kvm_aggregate(source: &Source) -> Option<bool> {
    let is_sum = match Directory::of(source)? {
        Directory::Top => true,
        Directory::Vm => source.file.same_name_below,
        Directory::Vcpu => false,
    };
    is_sum.then_some(true)
}

/// A directory of KVM's in debugfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directory {
    /// `kvm`: sums over all VMs.
    Top,
    /// `kvm/<thread>-<descriptor>`: a VM's own, and sums over its vCPUs.
    Vm,
    /// `kvm/<thread>-<descriptor>/vcpu<number>`.
    Vcpu,
}

impl Kernel {
    /// Nothing is asked yet.
    pub(crate) fn new(context: &Context) -> Kernel {
        Kernel {
            warnings: Warnings::new(context.counters.component()),
            counters: context.counters.clone(),
            types: OnceLock::new(),
        }
    }

    /// What the kernel says of a file of a VM or vCPU in debugfs. The sums over all VMs are there without any VM, and are
    /// nobody's reason to ask.
    pub(crate) fn find(&self, source: &Source) -> Option<&KernelType> {
        let directory = Directory::of(source)?;
        if directory == Directory::Top {
            return None;
        }
        let types = self.types.get_or_init(|| self.remember(ask_by_a_thread()));
        let name = &*source.file.name;
        let of_vcpu = types.vcpu.get(name);
        match directory {
            Directory::Vm => types.vm.get(name).or(of_vcpu),
            _ => of_vcpu,
        }
    }

    /// Says once that a catalog says otherwise.
    pub(crate) fn warn_of_catalog(&self, name: &str, kernel: &str, catalog: &str) {
        let detail = format!("{name}: the kernel says {kernel}, the catalog {catalog}");
        self.warnings.warn(DISAGREE, &detail);
    }

    /// What the kernel has said, or why it has not.
    fn remember(&self, types: io::Result<KernelTypes>) -> KernelTypes {
        let types = types.unwrap_or_else(|error| {
            self.warnings.warn(NOT_ASKED, &format!("/dev/kvm: {error}"));
            KernelTypes::default()
        });
        let unknown: Vec<&str> = types.unknown.iter().map(String::as_str).collect();
        self.counters
            .record(STATISTICS_UNKNOWN, unknown.len() as u64);
        if !unknown.is_empty() {
            self.warnings.warn(UNKNOWN, &escaped(&unknown.join(", ")));
        }
        types
    }
}

impl Directory {
    /// `None`: it is none of KVM's in debugfs.
    fn of(source: &Source) -> Option<Directory> {
        let directory = &source.directory;
        let mut parts = directory.path.split('/');
        if &*directory.filesystem != "debugfs" || parts.next() != Some("kvm") {
            return None;
        }
        let vm = parts.next().map(|it| it.split_once('-'));
        match (vm, parts.next(), parts.next()) {
            (None, None, None) => Some(Directory::Top),
            (Some(Some((thread, fd))), vcpu, None) if is_number(thread) && is_number(fd) => {
                let number = vcpu.map(|it| it.strip_prefix("vcpu").is_some_and(is_number));
                match number {
                    None => Some(Directory::Vm),
                    Some(true) => Some(Directory::Vcpu),
                    Some(false) => None,
                }
            }
            _ => None,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

impl KernelTypes {
    /// What the statistics of a VM and its vCPU say of themselves.
    fn of(own: &OwnVm) -> io::Result<KernelTypes> {
        KernelTypes::parse(&own.read_types(Level::Vm)?, &own.read_types(Level::Vcpu)?)
    }

    fn parse(vm: &[u8], vcpu: &[u8]) -> io::Result<KernelTypes> {
        let mut types = KernelTypes::default();
        for (file, is_vm) in [(vm, true), (vcpu, false)] {
            let file = StatsFile::parse(file).map_err(io::Error::other)?;
            for descriptor in file.descriptors {
                let known = KernelType::of_file(&descriptor);
                if known.is_none() {
                    types.unknown.insert(descriptor.name.clone());
                }
                let level = if is_vm {
                    &mut types.vm
                } else {
                    &mut types.vcpu
                };
                // Of two with one name the first holds.
                let of_name = level.entry(descriptor.name);
                of_name.or_insert_with(|| known.unwrap_or_else(KernelType::unknown));
            }
        }
        Ok(types)
    }
}

/// Asks by an empty VM, on a thread of its own: a kernel that does not answer holds nothing up for long. The VM has ended
/// before the answer is there, so that no scan after it finds ours.
fn ask_by_a_thread() -> io::Result<KernelTypes> {
    let (to, answer) = mpsc::sync_channel(1);
    let ask = move || {
        let types = OwnVm::create().and_then(|own| KernelTypes::of(&own));
        // Where nobody waits any more the catalog holds.
        let _ = to.send(types);
    };
    let thread = std::thread::Builder::new().name("kvm-types".into());
    thread.spawn(ask)?;
    let late = |_| Err(io::Error::other("no VM within a second"));
    answer.recv_timeout(PATIENCE).unwrap_or_else(late)
}

#[cfg(test)]
mod tests;
