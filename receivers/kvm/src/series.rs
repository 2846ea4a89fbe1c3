//! What series are called, and what a file says of itself.

use std::sync::Arc;

use kvm_stats::{Scale, StatisticUnit, unit};
use pipeline::{AnyValue, Attributes, Declared, DeclaredBy, Metric, SourceFile};

use crate::config::Config;
use crate::debugfs::DebugfsFile;
use crate::identity::Identity;
use crate::statistic::{Column, SUBSYSTEM, Statistic};
use crate::vm::Vm;

/// The labels of a VM's series, or of those of its vCPU.
pub(crate) fn attributes(
    config: &Config,
    vm: &Vm,
    label: &Arc<str>,
    vcpu: Option<u32>,
) -> Attributes {
    let Identity { vmm, name, uuid } = &vm.identity;
    let vcpu = vcpu.map(|it| format!("vcpu{it}"));
    let own = [
        ("vm", Some(&**label)),
        ("vcpu", vcpu.as_deref()),
        ("kvm.vmm", *vmm),
        ("kvm.vm.name", name.as_deref()),
        ("kvm.vm.uuid", uuid.as_deref()),
    ];
    let own = own
        .into_iter()
        .filter_map(|(key, value)| Some((key, AnyValue::from(value?))));
    let more = config.labels.iter();
    let more = more.map(|(key, value)| (key.as_str(), value.clone()));
    own.chain(more).collect()
}

/// What a file is: what the kernel says of the statistic of its name, where a block of that was seen (of a VM's file about
/// its vCPUs: of their sum), else what its name says.
pub(crate) fn file_column(
    of: &DebugfsFile,
    known: Option<&Statistic>,
    is_vcpu: bool,
    normalize: bool,
) -> Column {
    let own = known.map(|it| it.column_of(!is_vcpu));
    let mut column = own
        .cloned()
        .unwrap_or_else(|| untyped(&of.name, normalize).0);
    Arc::make_mut(&mut column.file).mode = of.mode;
    column
}

/// What the number in a file is multiplied by.
pub(crate) fn scale_of_file(of: &DebugfsFile, known: Option<&Statistic>, normalize: bool) -> Scale {
    known.map_or_else(|| unit_of_name(&of.name, normalize).1, |it| it.scale)
}

/// What nobody gives the type of: what its name says, and what numbers are multiplied by for it.
pub(crate) fn untyped(name: &Arc<str>, normalize: bool) -> (Column, Scale) {
    let (unit, scale) = unit_of_name(name, normalize);
    let mut metric = Metric::default();
    metric.name = format!("{SUBSYSTEM}/{name}").into();
    metric.unit = unit.clone().unwrap_or_default();
    let mut declared = Declared::default();
    declared.by = DeclaredBy::Name;
    // A sum is read where what it is made of is not.
    declared.aggregate = Some(false);
    declared.unit = unit;
    let mut file = SourceFile::new(Arc::clone(name));
    file.declared = Some(Arc::new(declared));
    let column = Column {
        metric: Arc::new(metric),
        file: Arc::new(file),
    };
    (column, scale)
}

/// The unit that a name says, and what numbers are multiplied by for it.
fn unit_of_name(name: &str, normalize: bool) -> (Option<Arc<str>>, Scale) {
    if name.ends_with("_ns") {
        unit(StatisticUnit::Seconds, 10, -9, normalize)
    } else {
        (None, Scale::One)
    }
}
