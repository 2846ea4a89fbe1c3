//! A file of KVM's binary statistics.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| receiver_kvm::fuzzing::block(bytes));
