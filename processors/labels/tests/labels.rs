//! The contracts, and what each action does.

use pipeline::testing::{assert_contracts, check_cases, mistakes};
use processor_labels::Labels;

const ALL: &str = r#"
actions:
- set: {label: site, value: lab}
- extract: {label: device, regex: "^/(?P<vm>[0-9]+-[0-9]+)"}
- rename: {label: old, to: new}
- delete: {label: device}
- map: {label: vm, values: {1-2: web}}
- replace: {regex: "_ns$", with: ""}
- keep: {match: {name: "{kvm,net}/*"}}
- drop: {match: {labels: {vm: "9-*"}}}
- name: {template: "{subsystem}.{metric}"}
"#;

#[test]
fn it_keeps_the_contracts() {
    let input = "kvm/exits{device=/1-2} 1 counter\nkvm/wait_ns{device=/9-3} 2\nnet/rx{device=/eth0,old=x} 3\n\
                 other/x 4\nkvm/exits{device=/1-2/vcpu0} 5 counter\nkvm/gone{device=/3-4} end\nkvm/no - gauge\n";
    assert_contracts::<Labels>(include_str!("../README.md"), ALL, input);
    assert_contracts::<Labels>(include_str!("../README.md"), "{}", input);
}

#[test]
fn every_case_gives_what_it_says() {
    check_cases::<Labels>(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases").as_ref());
}

#[test]
fn what_cannot_be_meant_is_refused_at_its_place() {
    let yaml = "actions: [{extract: {label: a, regex: x}}, {name: {template: '{what}'}}]";
    assert_eq!(
        mistakes::<Labels>(yaml),
        ["actions.0.extract.regex: has no named group: `(?P<label>…)` makes a label"]
    );
    let yaml = "actions: [{set: {label: a}}, {set: {lable: a, value: 1}}, {sett: {}}, {replace: {regex: '(', with: a}}]";
    let paths: Vec<_> = mistakes::<Labels>(yaml)
        .into_iter()
        .map(|it| it.split(':').next().map(String::from))
        .collect();
    let expected = [
        "actions.0.set.value",
        "actions.1.set.lable",
        "actions.1.set.label",
        "actions.2.sett",
        "actions.3.replace.regex",
    ];
    assert_eq!(paths.into_iter().flatten().collect::<Vec<_>>(), expected);
}
