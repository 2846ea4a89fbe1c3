//! The entry points of the fuzz targets, and what has to hold for every input.

use crate::btf::Btf;
use crate::layout::{Layout, type_names};
use crate::pass::{Limits, Pass};
use crate::records::{Sizes, parse};

/// The kernel's types and a module's, one after the other, the first one's length before them: no input makes it panic,
/// or gives more than the program can be told of.
pub fn btf(bytes: &[u8]) {
    let Some((length, files)) = bytes.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length));
    let (kernel, module) = files.split_at(length.min(files.len()));
    let Ok(mut btf) = Btf::new(&kernel, &type_names()) else {
        return;
    };
    let _ = btf.add_module(&module);
    let _ = Layout::new(&btf);
    for (structure, path) in [
        ("kvm", "stat"),
        ("kvm_vcpu", "stat"),
        ("file", "f_path.dentry"),
    ] {
        let Some(member) = btf.member(structure, path) else {
            continue;
        };
        for counter in btf.counters(member) {
            assert!(counter.name.len() <= 64 && counter.offset < member.size);
            assert!(u64::from(counter.values) * 8 <= u64::from(member.size - counter.offset));
        }
    }
}

/// What the program wrote, as it comes: no input makes it panic, or keeps more than the limits.
pub fn records(bytes: &[u8]) {
    let (sizes, limits) = (Sizes { vm: 16, vcpu: 24 }, Limits { vms: 2, vcpus: 3 });
    let (mut pass, mut rest) = (Pass::default(), bytes);
    while let Ok(Some(record)) = parse(rest, sizes) {
        pass.insert(&record, limits);
        rest = &rest[record.length..];
    }
    pass.prove();
    let records: Vec<_> = pass.records().collect();
    assert!(records.len() <= limits.vms + limits.vcpus);
    for record in records {
        let expected = if record.vcpu.is_some() {
            sizes.vcpu
        } else {
            sizes.vm
        };
        assert!(record.debugfs().len() <= 24);
        assert!(
            record
                .values
                .is_none_or(|values| values.bytes().len() == expected)
        );
    }
}
