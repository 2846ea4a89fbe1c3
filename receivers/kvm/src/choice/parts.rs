//! What one source gives of a VM or vCPU, of the statistics that no source before it has.

use std::ffi::CString;
use std::sync::Arc;

use pipeline::SourceDirectory;

use super::{Place, VmChoice};
#[cfg(feature = "bpf")]
use crate::bpf_values::BpfValues;
use crate::columns::Taken;
use crate::config::SourceName;
use crate::debugfs::DebugfsFile;
use crate::part::{Part, PartKey, PartValues};
use crate::series::scale_of_file;
use crate::statistic::{Column, SUBSYSTEM};
use crate::taking::Block;

impl VmChoice<'_> {
    /// What a block gives that was not taken before.
    pub(super) fn block(
        &mut self,
        place: &Place,
        block: &Arc<Block>,
        taken: &mut Taken,
    ) -> Option<Part> {
        let (statistics, columns) = self
            .columns
            .select(&block.layout.statistics, taken, false)?;
        let values = PartValues::Block(Arc::clone(block), statistics);
        Some(self.part(place, SourceName::StatsFd, columns, values))
    }

    /// The sums of what the blocks of all vCPUs give, where each has one, and none is left out.
    pub(super) fn sums(&mut self, place: &Place, taken: &mut Taken) -> Option<Part> {
        let all = self.vm.vcpus.values().cloned();
        let blocks: Option<Vec<Arc<Block>>> = all.collect();
        let blocks = blocks.filter(|_| !self.vm.is_cut)?;
        let layout = Arc::clone(&blocks.first()?.layout);
        let is_same = blocks.iter().all(|it| Arc::ptr_eq(&it.layout, &layout));
        let select = || self.columns.select(&layout.statistics, taken, true);
        let (statistics, columns) = is_same.then(select)??;
        let values = PartValues::Sums(blocks, statistics);
        let mut part = self.part(place, SourceName::StatsFd, columns, values);
        part.key.is_sum = true;
        Some(part)
    }

    /// What BPF reads of a VM or vCPU that was not taken before; of several vCPUs their sums, where none is left out.
    #[cfg(feature = "bpf")]
    pub(super) fn bpf(
        &mut self,
        place: &Place,
        parts: Arc<[Option<u32>]>,
        taken: &mut Taken,
    ) -> Option<Part> {
        use kvm_bpf::Level::{Vcpu, Vm};
        let level = if parts.first()?.is_some() { Vcpu } else { Vm };
        let seen = self.vm.bpf.filter(|it| it.is_open || level == Vcpu)?;
        let statistics = Arc::clone(self.known.bpf?.statistics(level)?);
        let is_sum = level == Vcpu && place.vcpu.is_none();
        let is_whole = || self.known.bpf?.pass().map(|it| it.is_whole(seen.key));
        if is_sum && (self.vm.is_cut || is_whole() != Some(true)) {
            return None;
        }
        let (selected, columns) = self.columns.select(&statistics, taken, is_sum)?;
        let values = PartValues::Bpf(BpfValues {
            vm: seen.key,
            parts,
            statistics,
            selected,
        });
        let mut part = self.part(place, SourceName::Bpf, columns, values);
        part.key.is_sum = is_sum;
        Some(part)
    }

    /// What the files of a directory give that was not taken before.
    pub(super) fn files(
        &mut self,
        place: &Place,
        directory: &str,
        files: &[DebugfsFile],
        taken: &mut Taken,
    ) -> Option<Part> {
        let layouts = self.known.layouts;
        let shown = files.iter().filter(|it| !self.is_hidden(it));
        let shown = shown.filter(|it| layouts.has_file(&it.name));
        let new = shown.filter(|it| taken.insert(Arc::clone(&it.name)));
        let new: Vec<DebugfsFile> = new.cloned().collect();
        if new.is_empty() {
            return None;
        }
        let normalize = self.columns.normalize;
        let file = |file: &DebugfsFile| {
            let path = CString::new(format!("{directory}/{}", file.name)).ok()?;
            let scale = scale_of_file(file, layouts.find(&file.name), normalize);
            Some((path, scale))
        };
        let values = PartValues::Files(new.iter().filter_map(file).collect());
        let columns = self.columns.of_files(&new, place.vcpu.is_some(), layouts);
        let path = format!("{SUBSYSTEM}/{directory}");
        let directory = SourceDirectory::new(path, "debugfs");
        Some(self.part_in(place, SourceName::Debugfs, directory, columns, values))
    }

    fn part(
        &self,
        place: &Place,
        source: SourceName,
        columns: Arc<[Column]>,
        values: PartValues,
    ) -> Part {
        let directory = SourceDirectory::new(self.directory(place), SUBSYSTEM);
        self.part_in(place, source, directory, columns, values)
    }

    fn part_in(
        &self,
        place: &Place,
        source: SourceName,
        mut directory: SourceDirectory,
        columns: Arc<[Column]>,
        values: PartValues,
    ) -> Part {
        directory.via = source.word();
        Part {
            key: PartKey {
                vm: Arc::clone(&self.label),
                vcpu: place.vcpu,
                source,
                is_sum: false,
            },
            attributes: Arc::clone(&place.attributes),
            directory: Arc::new(directory),
            columns,
            start: self.vm.start,
            values,
        }
    }
}
