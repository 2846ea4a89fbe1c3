//! Which source gives which statistic of which VM and vCPU: chosen anew when VMs come or go, never at a sweep.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::CString;
use std::sync::Arc;

use pipeline::{Attributes, SourceDirectory};

#[cfg(feature = "bpf")]
use crate::bpf::Bpf;
#[cfg(feature = "bpf")]
use crate::bpf_values::BpfValues;
use crate::config::{Config, Level, SourceName};
use crate::debugfs::DebugfsFile;
use crate::layout::Layouts;
use crate::part::{Part, PartKey, PartValues};
use crate::series::{attributes, file_column, scale_of_file};
use crate::statistic::{Column, SUBSYSTEM, Statistic};
use crate::taking::Block;
use crate::vm::Vm;

/// What is known besides the VMs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) config: &'a Config,
    pub(crate) layouts: &'a Layouts,
    #[cfg(feature = "bpf")]
    pub(crate) bpf: Option<&'a Bpf>,
}

/// What nobody gives, of all VMs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// Names of statistics whose files lockdown hides, and that come from nowhere else.
    pub(crate) hidden: BTreeSet<Arc<str>>,
    /// How many vCPUs there are of which no statistics descriptor is kept.
    pub(crate) vcpus_without: usize,
    /// How many VMs there are whose own statistics come from nowhere.
    pub(crate) vms_without: usize,
}

/// What makes parts of VMs. Columns that are the same are made once.
#[derive(Debug, Default)]
pub(crate) struct Chooser {
    blocks: HashMap<SelectionKey, (Arc<[Statistic]>, Selection)>,
    files: HashMap<FilesKey, Arc<[Column]>>,
    /// Whether durations are in seconds.
    normalize: bool,
}

/// Files, whether they are a vCPU's, and how many layouts are known, by which they have their types.
type FilesKey = (Vec<DebugfsFile>, bool, usize);

/// The address of all statistics of a layout, which of them, and whether they are sums.
type SelectionKey = (usize, Vec<usize>, bool);

/// Statistics of a layout, and their columns.
type Selection = (Arc<[usize]>, Arc<[Column]>);

/// What the parts of one VM or vCPU have in common.
struct Place<'a> {
    vm: &'a Arc<str>,
    vcpu: Option<u32>,
    attributes: Arc<Attributes>,
    start: u64,
    known: Known<'a>,
}

impl Chooser {
    /// Nothing was chosen yet. With `normalize`, durations are in seconds.
    pub(crate) fn new(normalize: bool) -> Chooser {
        Chooser {
            normalize,
            ..Chooser::default()
        }
    }

    /// The parts of all VMs, and what nobody gives. `is_hidden` tells which files are not even tried.
    pub(crate) fn choose(
        &mut self,
        known: Known<'_>,
        vms: &[Vm],
        labels: &[String],
        is_hidden: impl Fn(&DebugfsFile) -> bool,
    ) -> (Vec<Part>, Gaps) {
        let (mut parts, mut gaps) = (Vec::new(), Gaps::default());
        for (vm, label) in vms.iter().zip(labels) {
            let is_read = vm.block.is_some() || vm.directory.is_some() || vm.is_read_by_bpf(true);
            let lacks_own = !is_read;
            gaps.vms_without += usize::from(lacks_own && known.config.levels.contains(&Level::Vm));
            self.choose_of(
                known,
                vm,
                &label.as_str().into(),
                &is_hidden,
                &mut parts,
                &mut gaps,
            );
        }
        (parts, gaps)
    }

    fn choose_of(
        &mut self,
        known: Known<'_>,
        vm: &Vm,
        label: &Arc<str>,
        is_hidden: &impl Fn(&DebugfsFile) -> bool,
        parts: &mut Vec<Part>,
        gaps: &mut Gaps,
    ) {
        let config = known.config;
        let place = |vcpu: Option<u32>| Place {
            vm: label,
            vcpu,
            attributes: Arc::new(attributes(config, vm, label, vcpu)),
            start: vm.start,
            known,
        };
        // What comes of vCPUs, so that no sum of it is read beside.
        let mut of_vcpus: HashSet<Arc<str>> = HashSet::new();
        let has_vcpus = config.levels.contains(&Level::Vcpu);
        for (number, block) in &vm.vcpus {
            let mut taken = HashSet::new();
            let place = place(Some(*number));
            gaps.vcpus_without += usize::from(block.is_none() && !vm.is_read_by_bpf(false));
            for source in config.sources.iter().filter(|_| has_vcpus) {
                match source {
                    SourceName::StatsFd => {
                        let block = block.as_ref();
                        parts.extend(block.and_then(|it| self.block(vm, &place, it, &mut taken)));
                    }
                    #[cfg(feature = "bpf")]
                    SourceName::Bpf => {
                        let part = [Some(*number)].into();
                        parts.extend(self.bpf(vm, &place, part, &mut taken));
                    }
                    SourceName::Debugfs => {
                        let Some((name, directory)) = &vm.directory else {
                            continue;
                        };
                        let files = directory.vcpus.get(number).map_or(&[][..], |it| it);
                        let name = format!("{name}/vcpu{number}");
                        parts.extend(self.files(&place, &name, files, &mut taken, is_hidden));
                    }
                }
            }
            of_vcpus.extend(taken);
        }
        let mut taken = of_vcpus;
        let place = place(None);
        for source in &config.sources {
            if !config.levels.contains(&Level::Vm) {
                break;
            }
            match source {
                SourceName::StatsFd => {
                    let block = vm.block.as_ref();
                    parts.extend(block.and_then(|it| self.block(vm, &place, it, &mut taken)));
                    if !has_vcpus {
                        parts.extend(self.sums(vm, &place, &mut taken));
                    }
                }
                #[cfg(feature = "bpf")]
                SourceName::Bpf => {
                    parts.extend(self.bpf(vm, &place, [None].into(), &mut taken));
                    if !has_vcpus {
                        let vcpus = vm.vcpus.keys().map(|it| Some(*it)).collect();
                        parts.extend(self.bpf(vm, &place, vcpus, &mut taken));
                    }
                }
                SourceName::Debugfs => {
                    if let Some((name, directory)) = &vm.directory {
                        let files = &directory.files;
                        parts.extend(self.files(&place, name, files, &mut taken, is_hidden));
                    }
                }
            }
        }
        let files = vm.directory.iter().flat_map(|(_, it)| &it.files);
        let hidden = files.filter(|it| is_hidden(it) && !taken.contains(&it.name));
        let is_wanted = config.levels.contains(&Level::Vm);
        let hidden = hidden.filter(|_| is_wanted);
        gaps.hidden.extend(hidden.map(|it| Arc::clone(&it.name)));
    }

    /// What a block gives that was not taken before.
    fn block(
        &mut self,
        vm: &Vm,
        place: &Place<'_>,
        block: &Arc<Block>,
        taken: &mut HashSet<Arc<str>>,
    ) -> Option<Part> {
        let (statistics, columns) = self.selection(&block.layout.statistics, taken, false)?;
        let values = PartValues::Block(Arc::clone(block), statistics);
        let directory = format!("{SUBSYSTEM}/{}", vm.pid_and_fd());
        Some(place.part(SourceName::StatsFd, directory, SUBSYSTEM, columns, values))
    }

    /// The sums of what the blocks of all vCPUs give, where each has one.
    fn sums(&mut self, vm: &Vm, place: &Place<'_>, taken: &mut HashSet<Arc<str>>) -> Option<Part> {
        let blocks: Option<Vec<Arc<Block>>> = vm.vcpus.values().cloned().collect();
        let blocks = blocks?;
        let layout = Arc::clone(&blocks.first()?.layout);
        let is_same = blocks.iter().all(|it| Arc::ptr_eq(&it.layout, &layout));
        let (statistics, columns) =
            is_same.then(|| self.selection(&layout.statistics, taken, true))??;
        let values = PartValues::Sums(blocks, statistics);
        let directory = format!("{SUBSYSTEM}/{}", vm.pid_and_fd());
        let mut part = place.part(SourceName::StatsFd, directory, SUBSYSTEM, columns, values);
        part.key.is_sum = true;
        Some(part)
    }

    /// What BPF reads of a VM or vCPU that was not taken before; without vCPUs the sums of what it reads of them.
    #[cfg(feature = "bpf")]
    fn bpf(
        &mut self,
        vm: &Vm,
        place: &Place<'_>,
        parts: Arc<[Option<u32>]>,
        taken: &mut HashSet<Arc<str>>,
    ) -> Option<Part> {
        use kvm_bpf::Level::{Vcpu, Vm};
        let level = if parts.first()?.is_some() { Vcpu } else { Vm };
        let seen = vm.bpf.filter(|it| it.is_open || level == Vcpu)?;
        let statistics = Arc::clone(place.known.bpf?.statistics(level)?);
        let is_sum = level == Vcpu && place.vcpu.is_none();
        let (selected, columns) = self.selection(&statistics, taken, is_sum)?;
        let values = PartValues::Bpf(BpfValues {
            vm: seen.key,
            parts,
            statistics,
            selected,
        });
        let directory = format!("{SUBSYSTEM}/{}", vm.pid_and_fd());
        let mut part = place.part(SourceName::Bpf, directory, SUBSYSTEM, columns, values);
        part.key.is_sum = is_sum;
        Some(part)
    }

    /// The statistics of a layout that were not taken before, and their columns.
    fn selection(
        &mut self,
        statistics: &Arc<[Statistic]>,
        taken: &mut HashSet<Arc<str>>,
        is_sum: bool,
    ) -> Option<Selection> {
        let all = statistics.iter().enumerate();
        let wanted = all.filter(|(_, it)| taken.insert(Arc::clone(&it.name)));
        let wanted: Vec<usize> = wanted.map(|(at, _)| at).collect();
        if wanted.is_empty() {
            return None;
        }
        let key = (
            Arc::as_ptr(statistics).cast::<()>() as usize,
            wanted.clone(),
            is_sum,
        );
        let make = || {
            let column = |at: &usize| {
                let statistic = &statistics[*at];
                let sum = is_sum.then(|| statistic.sum_column.clone());
                sum.unwrap_or_else(|| statistic.column.clone())
            };
            let columns = wanted.iter().map(column).collect();
            // Held with it, so that its address is no other one's.
            (Arc::clone(statistics), (wanted.into(), columns))
        };
        Some(self.blocks.entry(key).or_insert_with(make).1.clone())
    }

    /// What the files of a directory give that was not taken before.
    fn files(
        &mut self,
        place: &Place<'_>,
        directory: &str,
        files: &[DebugfsFile],
        taken: &mut HashSet<Arc<str>>,
        is_hidden: &impl Fn(&DebugfsFile) -> bool,
    ) -> Option<Part> {
        let (normalize, is_vcpu) = (self.normalize, place.vcpu.is_some());
        let known = |file: &DebugfsFile| place.known.layouts.find(&file.name);
        let has_file = |it: &DebugfsFile| place.known.layouts.has_file(&it.name);
        let wanted = files.iter().filter(|it| !is_hidden(it) && has_file(it));
        let wanted: Vec<DebugfsFile> = wanted
            .filter(|it| taken.insert(Arc::clone(&it.name)))
            .cloned()
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let file = |file: &DebugfsFile| {
            let path = CString::new(format!("{directory}/{}", file.name)).ok()?;
            Some((path, scale_of_file(file, known(file), normalize)))
        };
        let values = PartValues::Files(wanted.iter().filter_map(file).collect());
        let column = |it| file_column(it, known(it), is_vcpu, normalize);
        let make = || wanted.iter().map(column).collect();
        let key = (wanted.clone(), is_vcpu, place.known.layouts.len());
        let columns = Arc::clone(self.files.entry(key).or_insert_with(make));
        let path = format!("{SUBSYSTEM}/{directory}");
        Some(place.part_at(SourceName::Debugfs, &path, "debugfs", columns, values))
    }
}

impl Place<'_> {
    /// A part of a VM's directory, or of that of its vCPU.
    fn part(
        &self,
        source: SourceName,
        mut directory: String,
        filesystem: &str,
        columns: Arc<[Column]>,
        values: PartValues,
    ) -> Part {
        if let Some(number) = self.vcpu {
            directory = format!("{directory}/vcpu{number}");
        }
        self.part_at(source, &directory, filesystem, columns, values)
    }

    fn part_at(
        &self,
        source: SourceName,
        path: &str,
        filesystem: &str,
        columns: Arc<[Column]>,
        values: PartValues,
    ) -> Part {
        Part {
            key: PartKey {
                vm: Arc::clone(self.vm),
                vcpu: self.vcpu,
                source,
                is_sum: false,
            },
            attributes: Arc::clone(&self.attributes),
            directory: Arc::new(SourceDirectory::new(path, filesystem)),
            columns,
            start: self.start,
            values,
        }
    }
}
