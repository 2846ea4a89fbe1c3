//! Files that are not as they were left.

use std::collections::BTreeSet;

use super::{Setting, drain, files, kill, leave, queue, stderr};
use crate::common::peer::assert_accounted;
use crate::common::{assert_fault, count, count_after, run, text};

#[test]
fn a_flipped_bit_costs_one_request_which_is_counted_and_the_file_is_set_aside() {
    let setting = Setting::new();
    leave(&setting, 4000, "");
    let waiting = setting.waiting();
    let segment = setting.segments().remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let shown = queue(&[setting.directory().to_str().unwrap()]);
    assert!(shown.contains("otlp: damaged: "), "{shown}");
    let found = setting.waiting().len();
    let stderr = drain(&setting, "");
    let arrived: BTreeSet<u64> = setting.arrived().into_iter().collect();
    let missing = waiting.difference(&arrived).count();
    assert_eq!(missing, waiting.len() - found);
    assert_eq!(
        count_after(&stderr, "unreadable="),
        missing as u64,
        "{stderr}"
    );
    let name = segment.display().to_string();
    assert!(stderr.contains("a file of the queue is damaged") && stderr.contains(&name));
    let aside = files(&setting.directory().join("otlp"), "damaged");
    assert_eq!(aside.len(), 1);
    assert_accounted(&stderr);
    assert_fault(
        "a file of the queue on disk is damaged",
        "the requests that cannot be read: here one",
        &stderr,
        &["unreadable=N"],
    );
}

#[test]
fn what_is_no_file_of_ours_is_set_aside_and_the_rest_arrives() {
    let setting = Setting::new();
    leave(&setting, 2000, "");
    let waiting = setting.waiting();
    let folder = setting.directory().join("otlp");
    let foreign = folder.join("00000000000000999999.segment");
    std::fs::write(&foreign, "somebody else's").unwrap();
    std::fs::write(folder.join("cursor"), "somebody else's").unwrap();
    let stderr = drain(&setting, "");
    let arrived: BTreeSet<u64> = setting.arrived().into_iter().collect();
    assert!(waiting.is_subset(&arrived), "{stderr}");
    assert!(stderr.contains("it is no segment"), "{stderr}");
    assert_eq!(files(&folder, "damaged").len(), 1);
    assert_accounted(&stderr);
    assert_eq!(count(&stderr, "points_dropped"), 0, "{stderr}");
}

#[test]
fn a_newer_format_is_refused_by_name_and_left_as_it_is() {
    let setting = Setting::new();
    leave(&setting, 2000, "");
    let segment = setting.segments().remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[8] = 77;
    std::fs::write(&segment, &bytes).unwrap();
    let output = run(&setting.config(""), &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let name = segment.display().to_string();
    assert!(
        stderr.contains(&name) && stderr.contains("it is of format 77"),
        "{stderr}"
    );
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_second_program_on_the_same_directory_is_refused_and_told_of_the_first() {
    let setting = Setting::new();
    let mut first = setting.start("");
    setting.wait_for_bytes(1000);
    let output = run(&setting.config(""), &[]);
    let second = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{second}");
    let told = format!("is in use by process {}", first.id());
    assert!(second.contains(&told), "{second}");
    let mut log = stderr(&mut first);
    kill(&mut first);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut log, &mut rest).unwrap();
    assert!(!rest.contains("ERROR"), "{rest}");
    drain(&setting, "");
}
