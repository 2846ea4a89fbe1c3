//! A catalog, and what is looked up in it.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| processor_metadata::fuzzing::catalog(text));
