//! docs/kvm.md's table of all statistics: what kernels say of them, and what the catalog knows. It is made of the captures
//! of two builds of Linux 6.18, so that it is the same wherever it is made, and held against the kernel that runs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use kvm_stats::{Descriptor, Level, StatisticType, StatisticUnit, StatsFile};
use serde_yaml::Value;

use super::host::kvm;
use super::kernel_types::descriptors;
use crate::common::alone::{KVM, alone};
use crate::common::repository;

const HEADING: &str = "## All statistics\n";
const LEVELS: [(Level, &str, [&str; 2]); 2] = [
    (Level::Vm, "vm", ["vm-qemu", "vm"]),
    (Level::Vcpu, "vcpu", ["vcpu0-qemu", "vcpu0"]),
];

/// What the catalog has of a metric.
struct Known {
    name: String,
    family: &'static str,
    r#type: String,
    unit: String,
    description: String,
}

/// What the catalog has of KVM's numbers, each name once: debugfs's come first.
fn catalog() -> Vec<Known> {
    let text = fs::read_to_string(repository("processors/metadata/catalog/kvm.yaml")).unwrap();
    let catalog: Value = serde_yaml::from_str(&text).unwrap();
    let families = catalog["families"].as_sequence().unwrap();
    let mut all: Vec<Known> = Vec::new();
    for family in [
        "kvm.debugfs",
        "kvm.debugfs.counts",
        "kvm.vcpu",
        "kvm.statsfs.vm",
        "kvm.statsfs.vcpu",
    ] {
        let found = families.iter().find(|it| it["id"] == family).unwrap();
        for metric in found["metrics"].as_sequence().unwrap() {
            let text = |key: &str| metric[key].as_str().unwrap_or_default().to_owned();
            let is_number = !["config", "info", "text", "enum"].contains(&&*text("type"));
            if is_number && all.iter().all(|it| it.name != text("name")) {
                all.push(Known {
                    name: text("name"),
                    family,
                    r#type: text("type"),
                    unit: text("unit"),
                    description: text("description"),
                });
            }
        }
    }
    all
}

/// The descriptors in a capture of a real block.
fn captured(name: &str) -> Vec<Descriptor> {
    let path = repository(&format!("receivers/kvm/tests/captures/{name}.bin"));
    let file = StatsFile::parse(&fs::read(path).unwrap());
    file.unwrap().descriptors
}

fn type_of(descriptor: &Descriptor) -> &'static str {
    match descriptor.statistic_type() {
        Some(StatisticType::Cumulative) => "cumulative",
        Some(StatisticType::Instant) => "instant",
        Some(StatisticType::Peak) => "peak",
        Some(StatisticType::LinearHistogram) => "linear histogram",
        Some(StatisticType::LogHistogram) => "logarithmic histogram",
        None => "unknown",
    }
}

fn unit_of(descriptor: &Descriptor, known: Option<&Known>) -> String {
    let unit = descriptor.unit().unwrap();
    let (text, _) = kvm_stats::unit(unit, descriptor.base().unwrap(), descriptor.exponent, false);
    match (unit, known) {
        (StatisticUnit::None, Some(known)) => known.unit.clone(),
        _ => text.map_or(String::new(), |it| it.to_string()),
    }
}

/// A row of a statistic, which not every kernel may have.
fn row(descriptor: &Descriptor, level: &str, catalog: &[Known], is_of_all: bool) -> String {
    let known = catalog.iter().find(|it| it.name == descriptor.name);
    let r#type = type_of(descriptor);
    let files = if r#type.ends_with("histogram") {
        ""
    } else {
        ", `debugfs`"
    };
    let meaning = known.map_or("no catalog has it", |it| &it.description);
    let seldom = if is_of_all { "" } else { "; on few kernels" };
    let (name, unit) = (&descriptor.name, unit_of(descriptor, known));
    format!(
        "| `{name}` | {level} | {type} | {unit} | `stats_fd`, `bpf`{files} | {meaning}{seldom} |\n"
    )
}

/// A row of what no kernel has that was seen among its statistics.
fn row_of_catalog(known: &Known) -> String {
    let r#type = match &*known.r#type {
        "counter" => "cumulative",
        "updown" | "gauge" | "bool" => "instant",
        other => other,
    };
    let (level, source, why) = match known.family {
        "kvm.vcpu" => ("vcpu", "`debugfs`", "a file, and no statistic"),
        "kvm.statsfs.vm" => ("vm", "–", "not on this kernel: the statsfs of 2020 had it"),
        "kvm.statsfs.vcpu" => (
            "vcpu",
            "–",
            "not on this kernel: the statsfs of 2020 had it",
        ),
        _ => ("vm", "`debugfs`", "not on this kernel"),
    };
    let (name, unit, description) = (&known.name, &known.unit, &known.description);
    format!("| `{name}` | {level} | {type} | {unit} | {source} | {description}; {why} |\n")
}

fn table() -> String {
    let catalog = catalog();
    let mut table =
        "| statistic | of | type | unit | source | what it is |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for (_, level, [all, most]) in LEVELS {
        let most: Vec<String> = captured(most).into_iter().map(|it| it.name).collect();
        for descriptor in captured(all) {
            let is_of_all = most.contains(&descriptor.name);
            table += &row(&descriptor, level, &catalog, is_of_all);
        }
    }
    let is_new = |it: &&Known| !table.contains(&format!("| `{}` |", it.name));
    let others: Vec<String> = catalog.iter().filter(is_new).map(row_of_catalog).collect();
    table.extend(others);
    table
}

#[test]
fn the_document_has_all_statistics_of_kernels_and_of_the_catalog() {
    let path = repository("docs/kvm.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, section) = document.split_once(HEADING).unwrap();
    let (text, rest) = section.split_once("\n| ").unwrap();
    let after = rest.split_once("\n\n").unwrap().1;
    let mut expected = before.to_owned();
    write!(expected, "{HEADING}{text}\n{}\n{after}", table()).unwrap();
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(
        expected == fs::read_to_string(&path).unwrap(),
        "UPDATE_EXPECTED=1 writes docs/kvm.md"
    );
}

#[test]
fn the_document_says_of_each_statistic_what_the_running_kernel_says() {
    let _kvm = alone(&KVM);
    if kvm("the_document_says_of_each_statistic_what_the_running_kernel_says").is_none() {
        return;
    }
    let (table, catalog) = (table(), catalog());
    let rows = table.lines().skip(2).map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        (cells[0].to_owned(), cells[1..4].join(" "))
    });
    let rows: BTreeMap<String, String> = rows.collect();
    let mut same = 0;
    for (level, word, _) in LEVELS {
        for descriptor in descriptors(level) {
            let known = catalog.iter().find(|it| it.name == descriptor.name);
            // A newer kernel may have more.
            if let Some(row) = rows.get(&format!("| `{}`", descriptor.name)) {
                let (r#type, unit) = (type_of(&descriptor), unit_of(&descriptor, known));
                assert_eq!(*row, format!("{word} {type} {unit}"), "{}", descriptor.name);
                same += 1;
            }
        }
    }
    assert!(same > 50, "{same}");
}
