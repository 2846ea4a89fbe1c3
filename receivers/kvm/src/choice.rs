//! Which source gives which statistic of which VM and vCPU: chosen anew when VMs come or go, never at a sweep.

mod parts;

use std::sync::Arc;

use pipeline::Attributes;

#[cfg(feature = "bpf")]
use crate::bpf::Bpf;
use crate::columns::{Columns, Taken};
use crate::config::{Config, Level, SourceName};
use crate::debugfs::{Debugfs, DebugfsFile};
use crate::gaps::{Gap, Missing};
use crate::layout::Layouts;
use crate::part::Part;
use crate::series::attributes;
use crate::statistic::SUBSYSTEM;
use crate::taking::Block;
use crate::vm::Vm;

/// What is known besides the VMs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) config: &'a Config,
    pub(crate) layouts: &'a Layouts,
    pub(crate) debugfs: Option<&'a Debugfs>,
    #[cfg(feature = "bpf")]
    pub(crate) bpf: Option<&'a Bpf>,
}

/// The parts of all VMs, and what nobody gives.
pub(crate) fn choose(
    known: Known<'_>,
    columns: &mut Columns,
    vms: &[Vm],
    labels: &[String],
) -> (Vec<Part>, Vec<Gap>) {
    let (mut parts, mut gaps) = (Vec::new(), Vec::new());
    for (vm, label) in vms.iter().zip(labels) {
        let mut choice = VmChoice {
            known,
            columns,
            vm,
            label: label.as_str().into(),
            parts: &mut parts,
            gaps: &mut gaps,
        };
        choice.choose();
    }
    (parts, gaps)
}

/// What is chosen of one VM.
struct VmChoice<'a> {
    known: Known<'a>,
    columns: &'a mut Columns,
    vm: &'a Vm,
    label: Arc<str>,
    parts: &'a mut Vec<Part>,
    gaps: &'a mut Vec<Gap>,
}

/// What the parts of one VM or vCPU have in common.
struct Place {
    vcpu: Option<u32>,
    attributes: Arc<Attributes>,
}

impl VmChoice<'_> {
    fn choose(&mut self) {
        // What comes of vCPUs, so that no sum of it is read beside.
        let mut taken = Taken::new();
        for (number, block) in &self.vm.vcpus {
            taken.extend(self.choose_vcpu(*number, block.as_ref()));
        }
        if self.has_level(Level::Vm) {
            self.choose_own(&mut taken);
            self.find_own_gaps(&taken);
        }
    }

    fn has_level(&self, level: Level) -> bool {
        self.known.config.levels.contains(&level)
    }

    fn place(&self, vcpu: Option<u32>) -> Place {
        let attributes = attributes(self.known.config, self.vm, &self.label, vcpu);
        Place {
            vcpu,
            attributes: Arc::new(attributes),
        }
    }

    /// The parts of a vCPU; the statistics that they give.
    fn choose_vcpu(&mut self, number: u32, block: Option<&Arc<Block>>) -> Taken {
        let (mut taken, place) = (Taken::new(), self.place(Some(number)));
        if block.is_none() && !self.vm.is_read_by_bpf(false) {
            self.add_gap(&place, Missing::Vcpu);
        }
        if !self.has_level(Level::Vcpu) {
            return taken;
        }
        let vm = self.vm;
        for source in &self.known.config.sources {
            let part = match source {
                SourceName::StatsFd => block.and_then(|it| self.block(&place, it, &mut taken)),
                #[cfg(feature = "bpf")]
                SourceName::Bpf => self.bpf(&place, [Some(number)].into(), &mut taken),
                SourceName::Debugfs => vm.directory.as_ref().and_then(|(name, directory)| {
                    let files = directory.vcpus.get(&number)?;
                    self.files(&place, &format!("{name}/vcpu{number}"), files, &mut taken)
                }),
            };
            self.parts.extend(part);
        }
        taken
    }

    /// The parts of the VM itself; without the level of vCPUs also their sums.
    fn choose_own(&mut self, taken: &mut Taken) {
        let (vm, place) = (self.vm, self.place(None));
        let has_sums = !self.has_level(Level::Vcpu);
        for source in &self.known.config.sources {
            match source {
                SourceName::StatsFd => {
                    let block = vm.block.as_ref();
                    let own = block.and_then(|it| self.block(&place, it, taken));
                    self.parts.extend(own);
                    let sums = has_sums.then(|| self.sums(&place, taken));
                    self.parts.extend(sums.flatten());
                }
                #[cfg(feature = "bpf")]
                SourceName::Bpf => {
                    let own = self.bpf(&place, [None].into(), taken);
                    self.parts.extend(own);
                    let vcpus = || vm.vcpus.keys().map(|it| Some(*it)).collect();
                    let sums = has_sums.then(|| self.bpf(&place, vcpus(), taken));
                    self.parts.extend(sums.flatten());
                }
                SourceName::Debugfs => {
                    let directory = vm.directory.as_ref();
                    let files =
                        directory.and_then(|(name, it)| self.files(&place, name, &it.files, taken));
                    self.parts.extend(files);
                }
            }
        }
    }

    /// What of the VM itself was not taken of any source.
    fn find_own_gaps(&mut self, taken: &Taken) {
        let vm = self.vm;
        let is_read = vm.block.is_some() || vm.directory.is_some() || vm.is_read_by_bpf(true);
        if !is_read {
            self.add_gap(&self.place(None), Missing::Vm);
        }
        let Some((name, directory)) = &vm.directory else {
            return;
        };
        let hidden = directory.files.iter().filter(|it| self.is_hidden(it));
        let hidden = hidden.filter(|it| !taken.contains(&it.name));
        let gap = |file: &DebugfsFile| Gap {
            directory: format!("{SUBSYSTEM}/{name}"),
            missing: Missing::Hidden(Arc::clone(&file.name)),
            holder: self.holder(),
        };
        let gaps: Vec<Gap> = hidden.map(gap).collect();
        self.gaps.extend(gaps);
    }

    fn add_gap(&mut self, place: &Place, missing: Missing) {
        let holder = self.holder();
        self.gaps.push(Gap {
            directory: self.directory(place),
            missing,
            holder,
        });
    }

    fn holder(&self) -> Option<i32> {
        self.vm.is_held.then_some(self.vm.key.0)
    }

    /// Whether a file is not even tried.
    fn is_hidden(&self, file: &DebugfsFile) -> bool {
        self.known.debugfs.is_some_and(|it| it.is_hidden(file))
    }

    /// The directory of a VM, or of its vCPU, by the number of its process.
    fn directory(&self, place: &Place) -> String {
        let vm = format!("{SUBSYSTEM}/{}", self.vm.pid_and_fd());
        place
            .vcpu
            .map_or(vm.clone(), |number| format!("{vm}/vcpu{number}"))
    }
}
