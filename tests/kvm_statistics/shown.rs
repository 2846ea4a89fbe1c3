//! What the program shows of VMs, out of OTLP's JSON.

use std::collections::BTreeMap;

use serde_json::Value;

/// A data point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    /// `counter`, `updown`, `gauge`, `histogram`.
    pub(super) kind: &'static str,
    pub(super) unit: String,
    /// One number, or one a bucket.
    pub(super) values: Vec<f64>,
    pub(super) bounds: Vec<f64>,
    pub(super) sum: Option<f64>,
    pub(super) start: u64,
    pub(super) attributes: BTreeMap<String, String>,
}

/// By the label `vm`, the label `vcpu` (`vm` where there is none), and the metric's name without `kvm/`.
pub(super) type AllShown = BTreeMap<(String, String, String), Shown>;

/// All points, each series once.
pub(super) fn shown(stdout: &[u8]) -> AllShown {
    let mut all = AllShown::new();
    for line in String::from_utf8_lossy(stdout).lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        for metric in metrics(&request) {
            for (kind, point) in points(metric) {
                let shown = of_point(kind, metric, point);
                let label = |key: &str| shown.attributes.get(key).cloned();
                let name = metric["name"].as_str().unwrap();
                let name = name.strip_prefix("kvm/").unwrap().to_owned();
                let vcpu = label("vcpu").unwrap_or_else(|| "vm".into());
                let key = (label("vm").unwrap(), vcpu, name);
                let before = all.insert(key.clone(), shown);
                assert!(before.is_none(), "{key:?} came twice");
            }
        }
    }
    all
}

fn metrics(request: &Value) -> impl Iterator<Item = &Value> {
    let resources = request["resourceMetrics"].as_array().unwrap().iter();
    let scopes = resources.flat_map(|it| it["scopeMetrics"].as_array().unwrap());
    scopes.flat_map(|it| it["metrics"].as_array().unwrap())
}

fn points(metric: &Value) -> Vec<(&'static str, &Value)> {
    let of = |kind: &'static str, data: &str| {
        let points = metric[data]["dataPoints"].as_array();
        points
            .into_iter()
            .flatten()
            .map(|it| (kind, it))
            .collect::<Vec<_>>()
    };
    let is_monotonic = metric["sum"]["isMonotonic"] == true;
    let sum = if is_monotonic { "counter" } else { "updown" };
    [
        of(sum, "sum"),
        of("gauge", "gauge"),
        of("histogram", "histogram"),
    ]
    .concat()
}

fn of_point(kind: &'static str, metric: &Value, point: &Value) -> Shown {
    let list = |key: &str| {
        let all = point[key].as_array().into_iter().flatten();
        all.map(|it| number(it).unwrap()).collect::<Vec<f64>>()
    };
    let single = number(&point["asInt"]).or_else(|| number(&point["asDouble"]));
    let attributes = point["attributes"].as_array().unwrap().iter();
    let attributes = attributes.map(|it| {
        let value = it["value"].as_object().unwrap().values().next().unwrap();
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (it["key"].as_str().unwrap().to_owned(), value)
    });
    Shown {
        kind,
        unit: metric["unit"].as_str().unwrap_or_default().to_owned(),
        values: single.map_or_else(|| list("bucketCounts"), |it| vec![it]),
        bounds: list("explicitBounds"),
        sum: number(&point["sum"]),
        start: point["startTimeUnixNano"]
            .as_str()
            .map_or(0, |it| it.parse().unwrap()),
        attributes: attributes.collect(),
    }
}

/// A number, which OTLP's JSON has as a text where it is an integer of 64 bits.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}
