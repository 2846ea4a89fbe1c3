//! Two names of files: they stay two.

#![no_main]

libfuzzer_sys::fuzz_target!(|names: (&[u8], &[u8])| receiver_statsfs::fuzzing::names(
    names.0, names.1
));
