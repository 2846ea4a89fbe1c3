//! What the BPF program writes of VMs and vCPUs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kvm_bpf::fuzzing::records(bytes));
