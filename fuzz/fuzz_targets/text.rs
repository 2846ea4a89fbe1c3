//! The notation: what parses is written as it was read.

#![no_main]

use pipeline::formats::text::{format, parse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(batches) = parse(text) {
        let written = format(&batches);
        let again = parse(&written).unwrap_or_else(|why| panic!("{written:?}: {why}"));
        assert_eq!(format(&again), written);
    }
});
