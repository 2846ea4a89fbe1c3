//! Which source gives which statistic of which VM and vCPU: chosen anew when VMs come or go, never at a sweep.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::CString;
use std::sync::Arc;

use pipeline::{Attributes, SourceDirectory};

use crate::config::{Config, IdentityPart, Level, SourceName};
use crate::debugfs::{DebugfsFile, VmDirectory};
use crate::identity::Identity;
use crate::layout::{Layout, Layouts};
use crate::part::{Part, PartKey, PartValues};
use crate::series::{attributes, file_column, scale_of_file};
use crate::statistic::{Column, SUBSYSTEM};
use crate::taking::Block;

/// A VM, and all that may be read of it.
#[derive(Debug, Default)]
pub(crate) struct Vm {
    /// Its process, and its descriptor there.
    pub(crate) key: (i32, i32),
    pub(crate) identity: Identity,
    /// Since when it is there, unix ns; 0 if it is not known.
    pub(crate) start: u64,
    /// The statistics that its process keeps open of the VM itself.
    pub(crate) block: Option<Arc<Block>>,
    /// Its vCPUs, and the statistics that its process keeps open of them.
    pub(crate) vcpus: BTreeMap<u32, Option<Arc<Block>>>,
    /// Whether its process was seen to hold it, and not debugfs alone tells of it.
    pub(crate) is_held: bool,
    /// Whether debugfs shows other vCPUs of it than its process seems to hold.
    pub(crate) is_doubtful: bool,
    /// Its name and its files in debugfs.
    pub(crate) directory: Option<(String, VmDirectory)>,
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
    blocks: HashMap<SelectionKey, (Arc<Layout>, Selection)>,
    files: HashMap<FilesKey, Arc<[Column]>>,
    /// Whether durations are in seconds.
    normalize: bool,
}

/// Files, whether they are a vCPU's, and how many layouts are known, by which they have their types.
type FilesKey = (Vec<DebugfsFile>, bool, usize);

/// The address of a layout, the statistics of it, and whether they are sums.
type SelectionKey = (usize, Vec<usize>, bool);

/// Statistics of a layout, and their columns.
type Selection = (Arc<[usize]>, Arc<[Column]>);

/// What the parts of one VM or vCPU have in common.
struct Place<'a> {
    vm: &'a Arc<str>,
    vcpu: Option<u32>,
    attributes: Arc<Attributes>,
    start: u64,
    layouts: &'a Layouts,
}

/// What a VM is called by: the first of these that it has.
pub(crate) fn label(vm: &Vm, by: &[IdentityPart]) -> String {
    let named = by.iter().find_map(|part| match part {
        IdentityPart::Uuid => vm.identity.uuid.clone(),
        IdentityPart::Name => vm.identity.name.clone(),
        IdentityPart::Pid => Some(vm.pid_and_fd()),
    });
    named.unwrap_or_else(|| vm.pid_and_fd())
}

impl Vm {
    /// `1234-12`.
    pub(crate) fn pid_and_fd(&self) -> String {
        format!("{}-{}", self.key.0, self.key.1)
    }
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
        (config, layouts): (&Config, &Layouts),
        vms: &[Vm],
        labels: &[String],
        is_hidden: impl Fn(&DebugfsFile) -> bool,
    ) -> (Vec<Part>, Gaps) {
        let (mut parts, mut gaps) = (Vec::new(), Gaps::default());
        for (vm, label) in vms.iter().zip(labels) {
            let lacks_own = vm.block.is_none() && vm.directory.is_none();
            gaps.vms_without += usize::from(lacks_own && config.levels.contains(&Level::Vm));
            self.choose_of(
                (config, layouts),
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
        (config, layouts): (&Config, &Layouts),
        vm: &Vm,
        label: &Arc<str>,
        is_hidden: &impl Fn(&DebugfsFile) -> bool,
        parts: &mut Vec<Part>,
        gaps: &mut Gaps,
    ) {
        let place = |vcpu: Option<u32>| Place {
            vm: label,
            vcpu,
            attributes: Arc::new(attributes(config, vm, label, vcpu)),
            start: vm.start,
            layouts,
        };
        // What comes of vCPUs, so that no sum of it is read beside.
        let mut of_vcpus: HashSet<Arc<str>> = HashSet::new();
        let has_vcpus = config.levels.contains(&Level::Vcpu);
        for (number, block) in &vm.vcpus {
            let mut taken = HashSet::new();
            let place = place(Some(*number));
            gaps.vcpus_without += usize::from(block.is_none());
            for source in config.sources.iter().filter(|_| has_vcpus) {
                match source {
                    SourceName::StatsFd => {
                        let block = block.as_ref();
                        parts.extend(block.and_then(|it| self.block(vm, &place, it, &mut taken)));
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
                SourceName::Debugfs => {
                    if let Some((name, directory)) = &vm.directory {
                        let files = &directory.files;
                        let hidden = files.iter().filter(|it| is_hidden(it));
                        let hidden = hidden.filter(|it| !taken.contains(&it.name));
                        gaps.hidden.extend(hidden.map(|it| Arc::clone(&it.name)));
                        parts.extend(self.files(&place, name, files, &mut taken, is_hidden));
                    }
                }
            }
        }
    }

    /// What a block gives that was not taken before.
    fn block(
        &mut self,
        vm: &Vm,
        place: &Place<'_>,
        block: &Arc<Block>,
        taken: &mut HashSet<Arc<str>>,
    ) -> Option<Part> {
        let (statistics, columns) = self.selection(&block.layout, taken, false)?;
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
        let (statistics, columns) = is_same.then(|| self.selection(&layout, taken, true))??;
        let values = PartValues::Sums(blocks, statistics);
        let directory = format!("{SUBSYSTEM}/{}", vm.pid_and_fd());
        let mut part = place.part(SourceName::StatsFd, directory, SUBSYSTEM, columns, values);
        part.key.is_sum = true;
        Some(part)
    }

    /// The statistics of a layout that were not taken before, and their columns.
    fn selection(
        &mut self,
        layout: &Arc<Layout>,
        taken: &mut HashSet<Arc<str>>,
        is_sum: bool,
    ) -> Option<Selection> {
        let all = layout.statistics.iter().enumerate();
        let wanted = all.filter(|(_, it)| taken.insert(Arc::clone(&it.name)));
        let wanted: Vec<usize> = wanted.map(|(at, _)| at).collect();
        if wanted.is_empty() {
            return None;
        }
        let key = (Arc::as_ptr(layout) as usize, wanted.clone(), is_sum);
        let make = || {
            let column = |at: &usize| {
                let statistic = &layout.statistics[*at];
                let sum = is_sum.then(|| statistic.sum_column.clone());
                sum.unwrap_or_else(|| statistic.column.clone())
            };
            let columns = wanted.iter().map(column).collect();
            // Held with it, so that its address is no other one's.
            (Arc::clone(layout), (wanted.into(), columns))
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
        let known = |file: &DebugfsFile| place.layouts.find(&file.name);
        let wanted = files.iter().filter(|it| !is_hidden(it));
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
        let key = (wanted.clone(), is_vcpu, place.layouts.len());
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
