//! How much of what is shown is true: what the VMs' owners read at rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// By VM, by `vm` or the vCPU's number (`vcpu3`), by statistic: one number, or one a bucket.
pub(super) type Values = BTreeMap<(String, String, String), Vec<i128>>;

/// What was shown, and how much of it holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Truth {
    /// Values of statistics that the owners have too.
    pub(super) shown: usize,
    /// What is shown beside them: what no descriptor has.
    pub(super) others: usize,
    /// How many different statistics they are of.
    pub(super) statistics: usize,
    pub(super) r#true: usize,
    /// How many of those shown are not 0 by their owners, and how many of these are shown so.
    pub(super) not_zero: usize,
    pub(super) not_zero_true: usize,
}

/// Compares what is shown with what the owners read.
pub(super) fn compare(shown: &Values, owners: &Values) -> Truth {
    let mut truth = Truth::default();
    let mut statistics = BTreeSet::new();
    let vms: BTreeSet<&String> = owners.keys().map(|it| &it.0).collect();
    // Who else has VMs on this host is not asked what is true of them.
    for (key, value) in shown.iter().filter(|it| vms.contains(&it.0.0)) {
        let Some(expected) = owners.get(key) else {
            truth.others += 1;
            continue;
        };
        let (holds, is_zero) = (value == expected, expected.iter().all(|it| *it == 0));
        truth.shown += 1;
        truth.r#true += usize::from(holds);
        truth.not_zero += usize::from(!is_zero);
        truth.not_zero_true += usize::from(!is_zero && holds);
        statistics.insert(&key.2);
    }
    truth.statistics = statistics.len();
    truth
}

/// The same with the sums of vCPUs, as the files of a VM's directory have them.
pub(super) fn with_sums(owners: &Values) -> Values {
    let mut all = owners.clone();
    for ((vm, _, name), value) in owners.iter().filter(|it| it.0.1 != "vm") {
        let key = (vm.clone(), "vm".to_owned(), name.clone());
        add(&mut all, key, value);
    }
    all
}

/// The sums over all VMs, under empty names of VM and part, as what tells no VMs apart has them.
pub(super) fn of_host(owners: &Values) -> Values {
    let mut all = Values::new();
    for ((.., name), value) in owners {
        add(
            &mut all,
            (String::new(), String::new(), name.clone()),
            value,
        );
    }
    all
}

fn add(all: &mut Values, key: (String, String, String), value: &[i128]) {
    let sum = all.entry(key).or_insert_with(|| vec![0; value.len()]);
    sum.iter_mut().zip(value).for_each(|(sum, it)| *sum += it);
}

/// What OTLP's JSON has, a request a line.
pub(super) fn of_otlp(text: &str) -> Values {
    let requests = text.lines().filter_map(|it| serde_json::from_str(it).ok());
    let mut values = Values::new();
    for request in requests.collect::<Vec<Value>>() {
        let resources = list(&request["resourceMetrics"]);
        let scopes = resources.flat_map(|it| list(&it["scopeMetrics"]));
        for metric in scopes.flat_map(|it| list(&it["metrics"])) {
            let name = metric["name"].as_str().unwrap_or_default();
            let name = name.strip_prefix("kvm/").unwrap_or(name);
            let data = ["sum", "gauge", "histogram"].map(|it| &metric[it]["dataPoints"]);
            for point in data.into_iter().flat_map(list) {
                let part = attribute(point, "vcpu").unwrap_or_else(|| "vm".into());
                let vm = attribute(point, "vm").unwrap_or_default();
                values.insert((vm, part, name.to_owned()), numbers(point));
            }
        }
    }
    values
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn attribute(point: &Value, key: &str) -> Option<String> {
    let found = list(&point["attributes"]).find(|it| it["key"] == key)?;
    found["value"]["stringValue"].as_str().map(str::to_owned)
}

/// A number, or those of a histogram's buckets.
fn numbers(point: &Value) -> Vec<i128> {
    let one = std::iter::once(&point["asInt"]);
    let all = one.chain(list(&point["bucketCounts"]));
    // An integer of 64 bits is a text in OTLP's JSON.
    let number = |it: &Value| {
        let text = it.as_str().map(str::to_owned);
        text.unwrap_or_else(|| it.to_string()).parse().ok()
    };
    all.filter_map(number).collect()
}
