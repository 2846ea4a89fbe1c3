//! A part: what one source gives of one VM, or of one vCPU of it. A source that is added gives parts of its own kind.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use kvm_stats::Scale;
use pipeline::telemetry::{Counter, Counters};
use pipeline::{Attributes, Inspected, Series, Source, SourceDirectory, Value};
use rustix::io::Errno;

#[cfg(feature = "bpf")]
use crate::bpf_values::BpfValues;
use crate::config::SourceName;
use crate::counters::{BLOCKS_FAILED, BLOCKS_READ, READS_FAILED, VALUES_LOSSY};
use crate::debugfs::{self, Debugfs};
use crate::histograms::Histograms;
use crate::inspected::{Purpose, no_value, why_no_block, why_unreadable};
use crate::statistic::{Column, Statistic};
use crate::taking::{Block, TakeError};

/// What tells a part from all others: whose it is, and who gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartKey {
    /// The VM's identity.
    pub(crate) vm: Arc<str>,
    /// The number of the vCPU; `None`: the VM itself.
    pub(crate) vcpu: Option<u32>,
    pub(crate) source: SourceName,
    /// Whether it is made of the vCPUs of the VM.
    pub(crate) is_sum: bool,
}

/// What one source gives of one VM or vCPU.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) key: PartKey,
    pub(crate) attributes: Arc<Attributes>,
    pub(crate) directory: Arc<SourceDirectory>,
    /// What there is a series of, in the order of the values.
    pub(crate) columns: Arc<[Column]>,
    /// Since when its counters count, unix ns; 0 if it is not known.
    pub(crate) start: u64,
    pub(crate) values: PartValues,
}

/// Where the values of a part come from.
#[derive(Clone, Debug)]
pub(crate) enum PartValues {
    /// Some statistics of a block.
    Block(Arc<Block>, Arc<[usize]>),
    /// The sums of some statistics of the blocks of all vCPUs.
    Sums(Vec<Arc<Block>>, Arc<[usize]>),
    /// Files, by their paths below `kvm/` in debugfs, and what their numbers are multiplied by.
    Files(Vec<(CString, Scale)>),
    /// What the last pass by BPF saw.
    #[cfg(feature = "bpf")]
    Bpf(BpfValues),
}

/// What is read without taking a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) debugfs: Option<&'a Debugfs>,
    /// What the last pass by BPF saw.
    #[cfg(feature = "bpf")]
    pub(crate) pass: Option<&'a kvm_bpf::Pass>,
}

impl Part {
    /// The series of a column.
    pub(crate) fn series(&self, column: usize) -> Series {
        let Column { metric, file } = &self.columns[column];
        let mut series = Series::of(Arc::clone(metric), Arc::clone(&self.attributes));
        let source = Source::new(Arc::clone(&self.directory), Arc::clone(file));
        series.source = Some(source);
        series
    }

    /// Whether both have the same series, and these count since the same time.
    pub(crate) fn has_same_series(&self, other: &Part) -> bool {
        Arc::ptr_eq(&self.columns, &other.columns)
            && self.start == other.start
            && self.attributes == other.attributes
            && self.directory == other.directory
    }
}

/// What reads parts, sweep by sweep.
#[derive(Debug)]
pub(crate) struct PartReader {
    counters: Counters,
    buffer: Vec<u8>,
    sums: Vec<u8>,
    /// `kvm/` in debugfs, opened for one sweep when its first file is read.
    debugfs: Option<Result<OwnedFd, Errno>>,
    values: ValueReader,
    /// Processes whose descriptors are not what they were, and why.
    pub(crate) failed: Vec<(i32, TakeError)>,
    purpose: Purpose,
    /// For `inspect`: series that gave no value.
    pub(crate) no_value: Vec<Inspected>,
}

/// What values are made with, whatever they are read from.
#[derive(Debug, Default)]
struct ValueReader {
    lossy: u64,
    histograms: Histograms,
}

impl ValueReader {
    /// Adds the values of some columns: each is one of these statistics, by the numbers of those that were chosen.
    // One loop for all that are read from memory: there a value is made where it stays. One that is handed on by memory is
    // written in two halves and read as a whole, which waits for both.
    fn add(
        &mut self,
        data: &[u8],
        (all, chosen): (&[Statistic], &[usize]),
        columns: &[usize],
        values: &mut Vec<Value>,
    ) {
        let (lossy, histograms) = (&mut self.lossy, &mut self.histograms);
        let value = |at: &usize| all[chosen[*at]].value(data, lossy, histograms);
        values.extend(columns.iter().map(value));
    }
}

impl PartReader {
    pub(crate) fn new(counters: Counters, purpose: Purpose) -> PartReader {
        PartReader {
            counters,
            buffer: Vec::new(),
            sums: Vec::new(),
            debugfs: None,
            values: ValueReader::default(),
            failed: Vec::new(),
            purpose,
            no_value: Vec::new(),
        }
    }

    /// Adds the values of some columns of a part, one each: absent ones where they could not be read.
    pub(crate) fn read(
        &mut self,
        part: &Part,
        columns: &[usize],
        sources: Sources<'_>,
        values: &mut Vec<Value>,
    ) {
        let end = values.len() + columns.len();
        match &part.values {
            PartValues::Block(block, statistics) => {
                if self.read_block(block, part, columns) {
                    let data = block.layout.data(&self.buffer);
                    let all = (&*block.layout.statistics, &**statistics);
                    self.values.add(data, all, columns, values);
                }
            }
            PartValues::Sums(blocks, statistics) => {
                if let Some(first) = blocks
                    .first()
                    .filter(|_| self.read_sums(blocks, part, columns))
                {
                    let data = first.layout.data(&self.sums);
                    let all = (&*first.layout.statistics, &**statistics);
                    self.values.add(data, all, columns, values);
                }
            }
            PartValues::Files(files) => {
                let open = || sources.debugfs.ok_or(Errno::NOENT)?.open();
                let root = self.debugfs.get_or_insert_with(open);
                let mut failed = 0;
                let value = |at: &usize| {
                    let root = root.as_ref().map_err(|error| *error);
                    let (path, scale) = &files[*at];
                    let read = |root| debugfs::read(root, &**path, *scale, &mut self.values.lossy);
                    root.and_then(read).unwrap_or_else(|error| {
                        failed += 1;
                        if self.purpose.inspects() {
                            let (reason, detail) = why_unreadable(error);
                            self.no_value.push(no_value(part, *at, reason, &detail));
                        }
                        Value::Absent
                    })
                };
                values.extend(columns.iter().map(value));
                let read = columns.len() as u64 - failed;
                self.counters.record(Counter::FILES_READ, read);
                self.counters.record(READS_FAILED, failed);
            }
            #[cfg(feature = "bpf")]
            PartValues::Bpf(of) => {
                let data = sources.pass.and_then(|it| of.data(it, &mut self.sums));
                if let Some(data) = data {
                    self.counters.record(BLOCKS_READ, of.parts.len() as u64);
                    let all = (&*of.statistics, &*of.selected);
                    self.values.add(data, all, columns, values);
                } else {
                    self.counters.record_for(BLOCKS_FAILED, "unreadable", 1);
                    let detail = "the kernel could not read it";
                    self.add_no_value(part, columns, "unreadable", detail);
                }
            }
        }
        values.resize(end, Value::Absent);
    }

    /// Ends a sweep: closes what was opened for it.
    pub(crate) fn finish(&mut self) {
        self.values.histograms.end_sweep();
        self.debugfs = None;
        let lossy = std::mem::take(&mut self.values.lossy);
        self.counters.record_for(VALUES_LOSSY, "beyond_i64", lossy);
    }

    /// For `inspect`: that some columns of a part have no value.
    fn add_no_value(&mut self, part: &Part, columns: &[usize], reason: &'static str, detail: &str) {
        if self.purpose.inspects() {
            let all = columns.iter().map(|at| no_value(part, *at, reason, detail));
            self.no_value.extend(all);
        }
    }

    /// Reads a block into the buffer, for some columns of a part. Whether it could be.
    fn read_block(&mut self, block: &Block, part: &Part, columns: &[usize]) -> bool {
        match block.read(&mut self.buffer) {
            Ok(()) => {
                self.counters.record(BLOCKS_READ, 1);
                true
            }
            Err(error) => {
                self.counters.record_for(BLOCKS_FAILED, error.reason(), 1);
                self.failed.push((block.pid(), error));
                self.add_no_value(part, columns, error.reason(), &why_no_block(error));
                false
            }
        }
    }

    /// Reads the blocks of all vCPUs, and sums them up. Whether all of them could be read: a part of a sum is none.
    fn read_sums(&mut self, blocks: &[Arc<Block>], part: &Part, columns: &[usize]) -> bool {
        for (at, block) in blocks.iter().enumerate() {
            if !self.read_block(block, part, columns) {
                return false;
            }
            if at == 0 {
                self.sums.clone_from(&self.buffer);
                continue;
            }
            let data = block.layout.data(&self.buffer);
            let start = self.sums.len() - data.len();
            for statistic in block.layout.statistics.iter() {
                statistic.add(&mut self.sums[start..], data);
            }
        }
        true
    }
}

impl TakeError {
    /// The reason as it is counted.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            TakeError::Gone => "gone",
            TakeError::Moved => "moved",
            TakeError::Refused => "refused",
            TakeError::Exhausted => "descriptors",
            TakeError::Format(_) => "format",
            TakeError::Other(_) => "error",
        }
    }
}
