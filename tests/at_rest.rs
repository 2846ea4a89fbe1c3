//! What the program takes while little happens: receivers share their threads, and one without a tree needs none.

use std::io::BufReader;
use std::process::Child;

use crate::common::{
    collector, device, end_without_warning, lines_until, memory_of, read_until, shared_memory,
    wait_for_threads,
};

/// A program with these receivers, which has looked once.
fn start(receivers: &[String]) -> Child {
    let ids = (0..receivers.len()).map(|number| format!("statsfs/{number}"));
    let ids: Vec<String> = ids.collect();
    let maps = ids.iter().zip(receivers);
    let maps: Vec<String> = maps.map(|(id, map)| format!("{id}: {{{map}}}")).collect();
    let config = format!(
        "receivers: {{{}}}\nexporters: {{stdout: {{}}}}\nservice: {{pipelines: {{metrics: {{receivers: [{}], exporters: [stdout]}}}}}}\n",
        maps.join(", "),
        ids.join(", ")
    );
    let mut child = collector(&config, &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let logs = lines_until(&mut stderr, |line| {
        line.contains(" missing=") || line.contains(" found=")
    });
    assert!(!logs.iter().any(|line| line.contains("WARN")), "{logs:#?}");
    child.stderr = Some(stderr.into_inner());
    child
}

#[test]
fn a_receiver_without_a_tree_has_no_thread_and_takes_next_to_no_memory() {
    let tree = shared_memory();
    let memory = |count: usize| {
        let root = |number| {
            let root = tree.path().display();
            // It is looked at each second, and never searched for again.
            format!("root: {root}/absent{number}, optional: true, collection_interval: 1s")
        };
        let receivers: Vec<String> = (0..count).map(root).collect();
        let child = start(&receivers);
        wait_for_threads(&child, 0);
        let memory = memory_of(&child, "RssAnon:");
        end_without_warning(child);
        memory
    };
    let (one, twenty) = (memory(1), memory(20));
    // 27 KiB each, without an optimisation; a thread of its own would be 80 more.
    assert!(twenty < one + 19 * 48, "{twenty} KiB, {one} with one");
}

#[test]
fn twenty_trees_are_swept_and_scanned_by_one_thread() {
    let tree = shared_memory();
    let receivers = (0..20).map(|number| {
        let root = tree.path().join(format!("tree{number}"));
        device(&root, &format!("d{number}"), "1");
        format!("root: {}, collection_interval: 1s", root.display())
    });
    let receivers: Vec<String> = receivers.collect();
    let mut child = start(&receivers);
    let mut sweeps = 0;
    read_until(&mut child, |line| {
        sweeps += usize::from(line.starts_with("s/c"));
        sweeps == 3 * 20
    });
    wait_for_threads(&child, 1);
    end_without_warning(child);
}
