//! What one pass saw, each VM and vCPU once.

#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::btf::Statistic;
use crate::records::{Head, RawRecord, text};

/// Tells VMs apart for as long as they live. It is neither an address nor the same in another process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmKey(u64);

impl fmt::Debug for VmKey {
    /// Not the key: differences of keys are differences of the kernel's addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VmKey")
    }
}

/// How much of one host is taken at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// VMs.
    pub vms: usize,
    /// vCPUs of all VMs.
    pub vcpus: usize,
}

/// A VM, or one of its vCPUs.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The VM; a vCPU has that of its own.
    pub vm: VmKey,
    /// The vCPU's number; `None` for the VM.
    pub vcpu: Option<u32>,
    /// The process that holds the descriptor; of several the one that started first. As the host's pid namespace has it.
    pub pid: u32,
    /// The descriptor's number in it, the smallest of several.
    pub fd: u32,
    /// When the process started, in nanoseconds since boot, suspended time included.
    pub process_start: u64,
    /// The thread that made the VM. It need not live any more.
    pub creator: u32,
    /// `None` if the kernel could not read them.
    pub values: Option<Values<'a>>,
    debugfs: &'a [u8; 24],
}

impl<'a> Record<'a> {
    /// The VM's directory below debugfs's `kvm/`; empty without debugfs.
    #[must_use]
    pub fn debugfs(&self) -> &'a str {
        text(self.debugfs)
    }
}

/// The statistics of a VM or vCPU at one moment.
#[derive(Clone, Copy)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    /// The kernel's struct, byte for byte; the same as the data block of the statistics' own descriptor.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Those of one statistic of the same level; none if it lies elsewhere.
    #[must_use]
    pub fn of(self, statistic: &Statistic) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        let (offset, values) = (statistic.offset as usize, statistic.values as usize);
        let end = values
            .checked_mul(8)
            .and_then(|bytes| bytes.checked_add(offset));
        let bytes = end
            .and_then(|end| self.0.get(offset..end))
            .unwrap_or_default();
        let (values, _) = bytes.as_chunks();
        values.iter().map(|value| u64::from_ne_bytes(*value))
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

/// What one pass over the host saw.
#[derive(Debug, Default)]
pub struct Pass {
    /// In this order a VM comes before its vCPUs. What the pass before saw keeps its place until this one is whole: nearly
    /// always it is there again.
    stored: BTreeMap<(u64, Option<u32>), StoredRecord>,
    /// The number of this pass.
    number: u64,
    blocks: Vec<u8>,
    /// VMs of which this pass left vCPUs out. There are no more than the kernel has.
    cut: BTreeSet<u64>,
    /// So many of them this pass has seen.
    vms: usize,
    vcpus: usize,
    is_proved: bool,
    is_refuted: bool,
    /// Descriptors of a VM or vCPU that another process, thread or descriptor shows too.
    pub duplicates: u64,
    /// Descriptors of which the kernel could not read whose they are.
    pub unreadable: u64,
    /// Descriptors beyond the [`Limits`].
    pub over_limit: u64,
}

#[derive(Debug)]
struct StoredRecord {
    head: Head,
    /// Where its statistics are in `blocks`, from and to.
    block: Option<(usize, usize)>,
    /// The pass that saw it last.
    seen_by: u64,
}

impl Pass {
    /// The VMs and vCPUs, each once: a VM, then its vCPUs by their numbers. A VM whose descriptor is closed, while its
    /// vCPUs' are not, has no record of its own. None before [`Pass::is_proved`].
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let seen = self.is_proved().then(|| self.seen());
        seen.into_iter()
            .flatten()
            .map(|(_, stored)| self.record(stored))
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, vm: VmKey, vcpu: Option<u32>) -> Option<Record<'_>> {
        let stored = self.stored.get(&(vm.0, vcpu));
        stored
            .filter(|it| it.seen_by == self.number && self.is_proved())
            .map(|stored| self.record(stored))
    }

    /// Whether no vCPU of a VM is beyond the [`Limits`].
    #[must_use]
    pub fn is_whole(&self, vm: VmKey) -> bool {
        !self.cut.contains(&vm.0)
    }

    /// What this pass has seen.
    fn seen(&self) -> impl Iterator<Item = (&(u64, Option<u32>), &StoredRecord)> {
        let stored = self.stored.iter();
        stored.filter(|(_, it)| it.seen_by == self.number)
    }

    /// Whether the places that the kernel's type information gave are right: a vCPU of this or an earlier pass has the
    /// number that its file is called by, and leads to a VM that is there.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.is_proved && !self.is_refuted
    }

    /// Whether there are vCPUs, or what could not be read, and no records since nothing is proved.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        let has_vcpus = self.seen().any(|((_, vcpu), _)| vcpu.is_some());
        !self.is_proved() && (has_vcpus || self.unreadable > 0)
    }

    /// It is known to be wrong: there are no records from now on.
    pub(crate) fn refute(&mut self) {
        self.is_refuted = true;
    }

    /// Begins the next pass.
    pub(crate) fn clear(&mut self) {
        self.number += 1;
        // What a host of many VMs took does not stay for one of few.
        self.blocks.shrink_to(2 * self.blocks.len());
        self.blocks.clear();
        self.cut.clear();
        (self.vms, self.vcpus) = (0, 0);
        (self.duplicates, self.unreadable, self.over_limit) = (0, 0, 0);
    }

    pub(crate) fn insert(&mut self, record: &RawRecord<'_>, limits: Limits) {
        let Some(head) = record.head else {
            self.unreadable += 1;
            return;
        };
        let (count, limit) = if head.vcpu.is_none() {
            (&mut self.vms, limits.vms)
        } else {
            (&mut self.vcpus, limits.vcpus)
        };
        match self.stored.entry((head.vm, head.vcpu)) {
            Entry::Occupied(mut known) if known.get().seen_by == self.number => {
                self.duplicates += 1;
                if head.holder < known.get().head.holder {
                    known.get_mut().head = head;
                }
            }
            _ if *count >= limit => {
                self.over_limit += 1;
                self.cut.extend(head.vcpu.map(|_| head.vm));
            }
            place => {
                *count += 1;
                let stored = StoredRecord {
                    head,
                    block: record.values.map(|values| append(&mut self.blocks, values)),
                    seen_by: self.number,
                };
                match place {
                    Entry::Occupied(mut known) => _ = known.insert(stored),
                    Entry::Vacant(place) => _ = place.insert(stored),
                }
            }
        }
    }

    /// To be called once the pass is whole. What was proved once stays so.
    pub(crate) fn prove(&mut self) {
        self.stored.retain(|_, it| it.seen_by == self.number);
        let mut vcpus = self.stored.keys().filter(|(_, vcpu)| vcpu.is_some());
        self.is_proved =
            self.is_proved || vcpus.any(|(vm, _)| self.stored.contains_key(&(*vm, None)));
    }

    fn record<'a>(&'a self, StoredRecord { head, block, .. }: &'a StoredRecord) -> Record<'a> {
        Record {
            vm: VmKey(head.vm),
            vcpu: head.vcpu,
            pid: head.holder.pid,
            fd: head.holder.fd,
            process_start: head.holder.start,
            creator: head.creator,
            debugfs: &head.debugfs,
            values: block.map(|(from, to)| Values(&self.blocks[from..to])),
        }
    }
}

fn append(blocks: &mut Vec<u8>, values: &[u8]) -> (usize, usize) {
    let from = blocks.len();
    blocks.extend_from_slice(values);
    (from, blocks.len())
}
