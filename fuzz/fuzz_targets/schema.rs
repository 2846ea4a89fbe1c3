//! A `.schema`.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| receiver_statsfs::fuzzing::schema(text));
