//! The command line of a virtual machine's monitor.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| receiver_kvm::fuzzing::command_line(bytes));
