//! Makes a VM, lets it run, and compares what the iterator reads of it with what its own statistics descriptors give:
//! names, offsets, numbers of values, and all bytes. `scripts/bpf-kernels.sh` runs it on other kernels than the host's.
#![allow(unsafe_code)] // kvm-ioctls lacks the call for the descriptors
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a check, by hand

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

use kvm_bpf::{KvmIterator, Level, Limits, OwnVm};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};

const KVM_GET_STATS_FD: libc::Ioctl = 0xaece;
/// `out 0x10, al; hlt`, twice.
const CODE: [u8; 6] = [0xe6, 0x10, 0xf4, 0xe6, 0x10, 0xf4];

/// What a statistics descriptor gives: name, offset and number of values of each; all bytes of the values.
type Statistics = (BTreeSet<(String, u32, u32)>, Vec<u8>);

fn main() {
    let mut iterator = KvmIterator::load().unwrap();
    iterator.prove(&OwnVm::create().unwrap()).unwrap();
    let vm = Kvm::new().unwrap().create_vm().unwrap();
    let mut vcpus = [0, 1].map(|number| vm.create_vcpu(number).unwrap());
    run(&vm, &mut vcpus[1]);
    let expected = [
        statistics(&vm),
        statistics(&vcpus[0]),
        statistics(&vcpus[1]),
    ];
    let fd = u32::try_from(vm.as_raw_fd()).unwrap();
    let lists = [Level::Vm, Level::Vcpu].map(|level| iterator.statistics(level).to_vec());
    let pass = iterator.pass(Limits { vms: 16, vcpus: 16 }).unwrap();
    let key = pass
        .records()
        .find(|it| it.vcpu.is_none() && it.fd == fd)
        .unwrap()
        .vm;
    for (vcpu, (descriptors, bytes)) in [None, Some(0), Some(1)].into_iter().zip(&expected) {
        let list = &lists[usize::from(vcpu.is_some())];
        let names: BTreeSet<_> = list
            .iter()
            .map(|it| (it.name.clone(), it.offset, it.values))
            .collect();
        assert_eq!(&names, descriptors);
        assert_eq!(pass.get(key, vcpu).unwrap().values.unwrap().bytes(), bytes);
        let values = bytes
            .as_chunks()
            .0
            .iter()
            .filter(|value| **value != [0; 8])
            .count();
        println!(
            "{vcpu:?}: {} statistics, {} bytes, {values} values are not 0",
            names.len(),
            bytes.len()
        );
    }
    println!(
        "without capabilities: {}",
        iterator.reads_without_capabilities()
    );
    println!("all agree");
}

fn run(vm: &VmFd, vcpu: &mut VcpuFd) {
    let mut sregs = vcpu.get_sregs().unwrap();
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    vcpu.set_sregs(&sregs).unwrap();
    let mut regs = vcpu.get_regs().unwrap();
    (regs.rip, regs.rflags) = (0x1000, 2);
    vcpu.set_regs(&regs).unwrap();
    let memory: &'static mut [u8] = Box::leak(vec![0; 0x6000].into_boxed_slice());
    let start = memory.as_ptr().align_offset(0x1000);
    memory[start + 0x1000..][..CODE.len()].copy_from_slice(&CODE);
    let region = kvm_bindings::kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: 0x4000,
        userspace_addr: memory[start..].as_ptr() as u64,
    };
    // SAFETY: the memory is leaked, so it outlives the VM, and nobody else uses it.
    unsafe { vm.set_user_memory_region(region).unwrap() };
    let mut halts = 0;
    while halts < 2 {
        halts += u32::from(matches!(vcpu.run().unwrap(), VcpuExit::Hlt));
    }
}

fn statistics(of: &impl AsRawFd) -> Statistics {
    // SAFETY: the request takes no argument, and gives a new descriptor.
    let file = unsafe { File::from_raw_fd(libc::ioctl(of.as_raw_fd(), KVM_GET_STATS_FD, 0)) };
    let word = |at: u64| {
        let mut word = [0; 4];
        file.read_exact_at(&mut word, at).unwrap();
        u32::from_ne_bytes(word)
    };
    let [name_size, count, descriptors, data] = [4, 8, 16, 20].map(word);
    let each = (0..count).map(|number| {
        let at = u64::from(descriptors + number * (16 + name_size));
        let mut name = vec![0; name_size as usize];
        file.read_exact_at(&mut name, at + 16).unwrap();
        let name = name.split(|byte| *byte == 0).next().unwrap();
        let values = word(at + 4) >> 16;
        (
            String::from_utf8(name.to_vec()).unwrap(),
            word(at + 8),
            values,
        )
    });
    let each: BTreeSet<_> = each.collect();
    let end = each
        .iter()
        .map(|(_, offset, values)| offset + 8 * values)
        .max()
        .unwrap();
    let mut bytes = vec![0; end as usize];
    file.read_exact_at(&mut bytes, data.into()).unwrap();
    (each, bytes)
}
