//! Points as the Collector writes them, to be compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// Every point with all that belongs to it, as one line of JSON each, in the order in which they arrived.
pub(super) fn points(requests: &[Value]) -> Vec<String> {
    let mut all = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for resource in requests
        .iter()
        .flat_map(|request| list(&request["resourceMetrics"]))
    {
        for scope in list(&resource["scopeMetrics"]) {
            for metric in list(&scope["metrics"]) {
                let (kind, data) = ["sum", "gauge"]
                    .iter()
                    .find_map(|kind| metric.get(kind).map(|data| (kind, data)))
                    .unwrap();
                for point in list(&data["dataPoints"]) {
                    let mut line = String::new();
                    write!(
                        line,
                        "{} {} {} {} ",
                        metric["name"], metric["unit"], metric["description"], kind
                    )
                    .unwrap();
                    write!(
                        line,
                        "{} {} ",
                        data["aggregationTemporality"], data["isMonotonic"]
                    )
                    .unwrap();
                    write!(
                        line,
                        "{} {} ",
                        sorted(&resource["resource"]["attributes"]),
                        scope["scope"]["name"]
                    )
                    .unwrap();
                    let (start, time) = (
                        point["startTimeUnixNano"].as_str().unwrap_or("0"),
                        point["timeUnixNano"].as_str().unwrap(),
                    );
                    write!(
                        line,
                        "{} int={} double={:?} start={start} time={time}",
                        sorted(&point["attributes"]),
                        point["asInt"],
                        point["asDouble"].as_f64()
                    )
                    .unwrap();
                    all.push(line);
                }
            }
        }
    }
    all
}

/// Says the first difference only: the lines are long, and many.
pub(super) fn assert_same(arrived: &[String], sent: &[String]) {
    let differs = arrived
        .iter()
        .zip(sent)
        .find(|(arrived, sent)| arrived != sent);
    assert!(differs.is_none(), "{differs:#?}");
    assert_eq!(arrived.len(), sent.len());
}

fn sorted(attributes: &Value) -> String {
    let pairs = attributes.as_array().cloned().unwrap_or_default();
    let pairs: BTreeMap<_, _> = pairs
        .iter()
        .map(|it| (it["key"].to_string(), it["value"].to_string()))
        .collect();
    format!("{pairs:?}")
}

/// When the points of `s/c` were read, in the order in which they arrived.
pub(crate) fn times(requests: &[Value]) -> Vec<u64> {
    let lines = points(requests);
    let lines = lines.iter().filter(|line| line.contains("\"s/c\""));
    lines
        .map(|line| line.rsplit_once("time=").unwrap().1.parse().unwrap())
        .collect()
}

/// The whole numbers of this metric, in the order in which they arrived.
pub(crate) fn ints(requests: &[Value], name: &str) -> Vec<i64> {
    let name = format!("{name:?}");
    let lines = points(requests);
    let lines = lines.iter().filter(|line| line.contains(&name));
    lines
        .map(|line| {
            let (_, after) = line.rsplit_once(" int=").unwrap();
            let (number, _) = after.split_once(' ').unwrap();
            number.trim_matches('"').parse().unwrap()
        })
        .collect()
}
