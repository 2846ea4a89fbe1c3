//! The kernel's type information, and a module's on top of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kvm_bpf::fuzzing::btf(bytes));
