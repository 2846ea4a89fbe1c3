//! The contracts, and what each action does.

use std::collections::BTreeMap;

use pipeline::testing::{assert_contracts, assert_honest, check_cases, mistakes};
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
    for (action, refused) in [
        (
            "replace: {label: a, regex: '^/(.*)$', with: '$1_x'}",
            "replace.with: the expression has no group `1_x`; `$${1}_x` is the group `1` and then `_x`",
        ),
        (
            "replace: {regex: '(?P<vm>[0-9]+)', with: 'a${vm_}$vm'}",
            "replace.with: the expression has no group `vm_`; `$${vm}_` is the group `vm` and then `_`",
        ),
        (
            "replace: {label: a, regex: x, with: 'y$1'}",
            "replace.with: the expression has no group `1`",
        ),
        (
            "replace: {label: a, regex: '^.*$', with: ''}",
            "replace.with: is empty, and a label without a value is none to most backends; `delete` takes one away",
        ),
        (
            "replace: {regex: '.+', with: ''}",
            "replace.with: is empty; a metric has a name",
        ),
        (
            "set: {label: '', value: x}",
            "set.label: is empty; a label has a key",
        ),
        (
            "rename: {label: a, to: ''}",
            "rename.to: is empty; a label has a key",
        ),
        (
            "set: {label: a, value: ''}",
            "set.value: is empty, and a label without a value is none to most backends; `delete` takes one away",
        ),
        (
            "map: {label: a, values: {x: y, z: ''}}",
            "map.values: is empty, and a label without a value is none to most backends; `delete` takes one away",
        ),
        (
            "map: {values: {x: y}, default: ''}",
            "map.default: is empty; a metric has a name",
        ),
        ("name: {template: ''}", "name.template: is empty"),
    ] {
        let yaml = format!("actions: [{{{action}}}]");
        let expected = [format!("actions.0.{refused}")];
        assert_eq!(mistakes::<Labels>(&yaml), expected);
    }
    let yaml = "actions: [{replace: {label: a, regex: '^/(.*)(?P<b>x)$', with: '${1}_$b$$0'}}, {replace: {regex: _ns$, with: ''}}]";
    assert_eq!(mistakes::<Labels>(yaml), [""; 0]);
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

/// Small on purpose: chains that meet in the same labels and values say more than many that never do.
const KEYS: [&str; 4] = ["device", "vm", "old", "new"];
const VALUES: [&str; 6] = ["/1-2", "/1-2/vcpu0", "web", "9-3", "", "/eth0"];
const NAMES: [&str; 6] = [
    "kvm/exits",
    "kvm/wait_ns",
    "net/rx",
    "net/tx",
    "other/x",
    "web",
];
const GLOBS: [&str; 6] = ["kvm/*", "net/{rx,tx}", "/1-2*", "**", "w?b", "other/[xy]"];
const REGEXES: [&str; 5] = [
    "^/(?P<vm>[0-9-]+)",
    "(?P<new>e.*)",
    "(?P<old>x)?(?P<device>[0-9])",
    "_ns$",
    "/",
];

fn any<'a>(of: &[&'a str], random: &mut fastrand::Rng) -> &'a str {
    of[random.usize(..of.len())]
}

fn any_match(random: &mut fastrand::Rng) -> String {
    let pattern = |random: &mut fastrand::Rng| match random.u8(..3) {
        0 => format!("{{regex: '{}'}}", any(&REGEXES, random)),
        1 => format!("'{}'", any(&VALUES, random)),
        _ => format!("'{}'", any(&GLOBS, random)),
    };
    let name = format!("name: {}", pattern(random));
    let labels = format!("labels: {{{}: {}}}", any(&KEYS, random), pattern(random));
    match random.u8(..3) {
        0 => format!("match: {{{name}}}"),
        1 => format!("match: {{{labels}}}"),
        _ => format!("match: {{{name}, {labels}}}"),
    }
}

fn any_action(random: &mut fastrand::Rng) -> String {
    // A label that is always set empty is refused.
    let (label, value) = (any(&KEYS, random), any(&VALUES[..4], random));
    let chosen = random.u8(..9);
    // Every other one is for some series only; without a label three of them are about the name.
    let some = any_match(random);
    let which = if random.bool() {
        format!(", {some}")
    } else {
        String::new()
    };
    let of = if random.bool() {
        format!("label: {label}, ")
    } else {
        String::new()
    };
    match chosen {
        0 => format!("set: {{label: {label}, value: '{value}'{which}}}"),
        1 => format!(
            "rename: {{label: {label}, to: {}{which}}}",
            any(&KEYS, random)
        ),
        2 => format!("delete: {{label: {label}{which}}}"),
        3 => format!(
            "extract: {{{of}regex: '{}'{which}}}",
            any(&REGEXES[..3], random)
        ),
        4 => {
            let default = if random.bool() { ", default: web" } else { "" };
            let from = any(if random.bool() { &VALUES } else { &NAMES }, random);
            format!(
                "map: {{{of}values: {{'{from}': '{}'}}{default}{which}}}",
                any(&NAMES, random)
            )
        }
        5 => format!(
            "replace: {{{of}regex: '{}', with: '{value}'{which}}}",
            any(&REGEXES, random)
        ),
        6 => format!("keep: {{{some}}}"),
        7 => format!("drop: {{{some}}}"),
        _ => {
            let template = ["{subsystem}.{metric}", "{name}", "net/{metric}"];
            format!("name: {{template: '{}'{which}}}", any(&template, random))
        }
    }
}

#[test]
fn any_chain_of_actions_is_honest() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut dropping, rounds) = (0, 200);
    for round in 0..rounds {
        let actions = (0..random.usize(1..7)).map(|_| format!("- {}\n", any_action(&mut random)));
        let yaml = format!("actions:\n{}", actions.collect::<String>());
        // No two series of a table are the same; after the actions they may be.
        let mut lines = BTreeMap::new();
        for _ in 0..random.usize(1..12) {
            let keys: Vec<&str> = KEYS.into_iter().filter(|_| random.bool()).collect();
            let label = |key: &str| format!("{key}=\"{}\"", any(&VALUES, &mut random));
            let labels: Vec<String> = keys.into_iter().map(label).collect();
            let series = format!("{}{{{}}}", any(&NAMES, &mut random), labels.join(","));
            lines.insert(series, any(&["1", "2.5", "end", "-"], &mut random));
        }
        let line = |(series, value)| format!("{series} {value}\n");
        let input: String = lines.into_iter().map(line).collect();
        let honest = std::panic::catch_unwind(|| assert_honest::<Labels>(&yaml, &input));
        assert!(
            honest.is_ok(),
            "seed {seed}, round {round}:\n{yaml}\n{input}"
        );
        let drops = yaml.contains("- drop") || yaml.contains("- keep");
        dropping += u32::from(drops);
    }
    assert!(
        dropping > rounds / 4,
        "seed {seed}: {dropping} chains can drop anything"
    );
}
