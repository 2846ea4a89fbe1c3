//! A segment of a queue on disk.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| extension_file_storage::fuzzing::segment(bytes));
