//! The small languages of single values: layouts, durations, sizes, globs and regular expressions.

#![no_main]

use pipeline::config::{ByteSize, Duration, Node, NodeValue, Pattern, Regex, attempt};
use receiver_statsfs::Layout;
use serde::{Serialize, de::DeserializeOwned};

/// What is taken is written as something that is taken for the same.
fn check<T: DeserializeOwned + Serialize>(text: &str) {
    let mut node = Node::empty();
    node.tree = NodeValue::String(text.into());
    let Some(taken) = attempt::<T>(&node).0 else {
        return;
    };
    let written = serde_json::to_string(&taken.value).expect("it can be written");
    let again: T =
        serde_json::from_str(&written).unwrap_or_else(|why| panic!("{text:?}: {written}: {why}"));
    assert_eq!(
        serde_json::to_string(&again).expect("it can be written"),
        written,
        "{text:?}"
    );
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    check::<Layout>(text);
    check::<Duration>(text);
    check::<ByteSize>(text);
    check::<Pattern>(text);
    check::<Regex>(text);
});
