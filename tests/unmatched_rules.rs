//! What the configuration names and the first scan does not find: a warning each, once, with what nearly matches.

use std::path::Path;

use crate::common::{self, collector, end, file, read_until, run, text};

const MESSAGE: &str = "matches nothing that the first scan has found";

/// Two subsystems with devices.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for path in ["net/eth0/rx_bytes", "net/eth1/rx_bytes", "kvm/1-2/exits"] {
        file(tree.path(), path);
    }
    tree
}

/// The component, rule and near miss of each warning, and of each message at debug, sorted.
fn unmatched(logs: &str) -> Vec<String> {
    let lines = logs.lines().filter(|line| line.contains(MESSAGE));
    let short = |line: &str| {
        let (_, fields) = line.split_once(MESSAGE).unwrap();
        let level = if line.contains(" WARN ") {
            ""
        } else {
            "debug: "
        };
        format!("{level}{}", fields.trim())
    };
    let mut all: Vec<String> = lines.map(short).collect();
    all.sort();
    all
}

fn once(config: &str) -> Vec<String> {
    let output = run(
        config,
        &["--once", "--set", "service.telemetry.logs.level=debug"],
    );
    let stderr = text(&output.stderr);
    assert!(output.status.code() != Some(2), "{stderr}");
    unmatched(&stderr)
}

fn config(receiver: &str, root: &Path, processors: &str) -> String {
    let receiver = format!("{{root: {}{receiver}}}", root.display());
    common::config(&receiver, processors, "{format: text}")
}

#[test]
fn an_action_is_named_with_what_nearly_matches_and_a_drop_at_debug_only() {
    let tree = tree();
    let labels = r#"labels: {actions: [
        {rename: {label: device, to: dev}},
        {rename: {label: devcie, to: x}},
        {replace: {label: device, regex: "^/", with: ""}},
        {set: {match: {name: "kvm/.*"}, label: x, value: y}},
        {name: {template: "{subsystem}.{metric}"}},
        {set: {match: {name: "net/rx_bytes"}, label: x, value: y}},
        {map: {label: dev, values: {/eth2: uplink}}},
        {extract: {label: dev, regex: "^/(?P<vm>[0-9]+-[0-9]+)$"}},
        {drop: {match: {labels: {dev: /lo}}}},
        {delete: {match: {name: "kvm.exit"}, label: dev}}]}"#;
    let labels = labels.replace('\n', " ");
    let expected = [
        r#"component="labels" rule="actions.1.rename""#,
        r#"component="labels" rule="actions.2.replace" near_miss="an action above takes the label `device` away""#,
        r#"component="labels" rule="actions.3.set" near_miss="`kvm/.*` is a glob, which has to match all of a text; `{regex: \"kvm/.*\"}` would match `kvm/exits`""#,
        r#"component="labels" rule="actions.5.set" near_miss="an action above makes `net.rx_bytes` of the name `net/rx_bytes`""#,
        r#"component="labels" rule="actions.6.map""#,
        r#"component="labels" rule="actions.9.delete" near_miss="there is `kvm.exits`, and no `kvm.exit`""#,
        r#"debug: component="labels" rule="actions.8.drop""#,
    ];
    assert_eq!(once(&config("", tree.path(), &labels)), expected);
}

#[test]
fn a_rule_of_metadata_or_aggregate_is_named_too() {
    let tree = tree();
    let processors = "labels: {actions: [{name: {match: {name: net/**}, template: '{subsystem}.{metric}'}}]}; \
         metadata: {rules: [{match: {name: net/rx_bytes}, unit: By}, {match: {name: 'kvm/*'}, kind: counter}, \
         {match: {name: kvm/exitz}, unit: x}, {match: {labels: {devise: '*'}}, drop: true}]}; \
         aggregate: {rules: [{match: {name: 'mm/*'}, without: [device], function: sum}]}";
    let expected = [
        r#"component="aggregate" rule="rules.0""#,
        r#"component="metadata" rule="rules.0" near_miss="`net/rx_bytes` is called `net.rx_bytes` here: something above renames it""#,
        r#"component="metadata" rule="rules.2" near_miss="there is `kvm/exits`, and no `kvm/exitz`""#,
        r#"debug: component="metadata" rule="rules.3" near_miss="there is a label `device`, and none `devise`""#,
    ];
    assert_eq!(once(&config("", tree.path(), processors)), expected);
}

#[test]
fn what_a_receiver_includes_formats_and_ranks_is_named_too() {
    let tree = tree();
    let receiver = ", subsystems: {include: [net, kvm, mm, 'ne.*'], exclude: [mm]}, \
         devices: {include: ['eth*', 'eth.*', '1-2', 'vlan*'], exclude: [lo]}, \
         formats: [{match: 'net/.*', as: hex}, {match: 'kvm/**', as: int}], priorities: [{match: kvn, priority: 1}]";
    let expected = [
        r#"component="statsfs" rule="devices.include.1" near_miss="`eth.*` is a glob, which has to match all of a text; `{regex: \"eth.*\"}` would match `eth0`""#,
        r#"component="statsfs" rule="devices.include.3""#,
        r#"component="statsfs" rule="formats.0" near_miss="`net/.*` is a glob, which has to match all of a text; `{regex: \"net/.*\"}` would match `net/eth0/rx_bytes`""#,
        r#"component="statsfs" rule="priorities.0" near_miss="there is `kvm`, and no `kvn`""#,
        r#"component="statsfs" rule="subsystems.include.2""#,
        r#"component="statsfs" rule="subsystems.include.3" near_miss="`ne.*` is a glob, which has to match all of a text; `{regex: \"ne.*\"}` would match `net`""#,
        r#"debug: component="statsfs" rule="devices.exclude.0""#,
        r#"debug: component="statsfs" rule="subsystems.exclude.0""#,
    ];
    let found = once(&config(receiver, tree.path(), ""));
    // Which one of the two is seen first is open.
    let found: Vec<String> = found.iter().map(|it| it.replace("eth1", "eth0")).collect();
    assert_eq!(found, expected);
}

#[test]
fn nothing_is_said_for_a_tree_that_is_not_there_or_has_no_device_yet() {
    let labels = "labels: {actions: [{extract: {label: device, regex: '^/(?P<vm>[0-9]+-[0-9]+)'}}, \
                  {set: {match: {name: 'kvm/exits'}, label: x, value: y}}, {set: {match: {name: 'net/no'}, label: x, value: y}}]}";
    let receiver = ", devices: {include: ['[0-9]*']}, formats: [{match: 'kvm/*/halt', as: hex}]";
    let no_tree = Path::new("/no/such/tree");
    assert_eq!(once(&config(receiver, no_tree, labels)), [""; 0]);
    // KVM's own files, and no VM.
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "kvm/halt");
    assert_eq!(once(&config(receiver, tree.path(), labels)), [""; 0]);
    // What is about a subsystem that is there can be told all the same.
    file(tree.path(), "net/eth0/rx");
    let expected = [r#"component="labels" rule="actions.2.set""#];
    assert_eq!(once(&config("", tree.path(), labels)), expected);
    // So it is where another receiver has nothing.
    let both = format!(
        "receivers: {{statsfs/a: {{root: {}, subsystems: {{include: [net]}}}}, statsfs/b: {{root: {}}}}}\n\
         processors: {{{labels}}}\nexporters: {{stdout: }}\n\
         service: {{pipelines: {{metrics: {{receivers: [statsfs/a, statsfs/b], processors: [labels], exporters: [stdout]}}}}}}\n",
        tree.path().display(),
        no_tree.display()
    );
    assert_eq!(once(&both), expected);
}

#[test]
fn it_is_said_once_and_not_of_what_comes_later() {
    let tree = tree();
    let labels = "labels: {actions: [{delete: {label: no}}]}";
    let config = config(", collection_interval: 20ms", tree.path(), labels);
    let mut child = collector(&config, &[]);
    let mut sweeps = 0;
    read_until(&mut child, |line| {
        sweeps += u32::from(line.starts_with("kvm/exits"));
        if sweeps == 5 {
            file(tree.path(), "net/eth2/rx_bytes");
        }
        line.starts_with("net/rx_bytes{device=/eth2}")
    });
    let expected = [r#"component="labels" rule="actions.0.delete""#];
    assert_eq!(unmatched(&end(child)), expected);
}
