//! What series are called, and what a file says of itself.

use std::sync::Arc;

use pipeline::{AnyValue, Attributes, Declared, Metric, SourceFile};

use crate::choice::Vm;
use crate::config::Config;
use crate::debugfs::DebugfsFile;
use crate::descriptors::StatisticUnit;
use crate::identity::Identity;
use crate::statistic::{Column, SUBSYSTEM};
use crate::units::{Scale, unit};

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

/// What a file says of itself: nothing but its name and mode, and that nanoseconds are what they are called.
pub(crate) fn file_column(of: &DebugfsFile, normalize: bool) -> Column {
    let (unit, _) = unit_of_file(of, normalize);
    let mut metric = Metric::default();
    metric.name = format!("{SUBSYSTEM}/{}", of.name).into();
    metric.unit = unit.clone().unwrap_or_default();
    let mut declared = Declared::default();
    // A sum is read where what it is made of is not.
    declared.aggregate = Some(false);
    declared.unit = unit;
    let mut file = SourceFile::new(Arc::clone(&of.name));
    (file.mode, file.declared) = (of.mode, Some(Arc::new(declared)));
    Column {
        metric: Arc::new(metric),
        file: Arc::new(file),
    }
}

/// The unit of a file, where its name says it, and what its numbers are multiplied by.
pub(crate) fn unit_of_file(of: &DebugfsFile, normalize: bool) -> (Option<Arc<str>>, Scale) {
    if of.name.ends_with("_ns") {
        unit(StatisticUnit::Seconds, 10, -9, normalize)
    } else {
        (None, Scale::One)
    }
}
