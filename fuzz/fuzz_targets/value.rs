//! A file's content, in each form.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| receiver_statsfs::fuzzing::value(bytes));
