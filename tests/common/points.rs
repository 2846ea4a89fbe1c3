//! Points as the program writes them in OTLP's JSON.

use std::process::Child;

use serde_json::Value;

use super::read_until;

/// Reads JSON lines until a point of the wanted value; value (none: ended), start and time of each point.
pub(crate) fn read_points(
    child: &mut Child,
    mut is_last: impl FnMut(Option<i64>, u64) -> bool,
) -> Vec<(Option<i64>, u64, u64)> {
    let mut all = Vec::new();
    read_until(child, |line| {
        // The reader before this one may have taken a line's beginning, where several came at once.
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            assert!(all.is_empty(), "{line}");
            return false;
        };
        for metric in line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
            .as_array()
            .unwrap()
        {
            for point in metric["sum"]["dataPoints"].as_array().unwrap() {
                let number =
                    |key: &str| point[key].as_str().map_or(0, |text| text.parse().unwrap());
                let value = point["asInt"].as_str().map(|text| text.parse().unwrap());
                all.push((value, number("startTimeUnixNano"), number("timeUnixNano")));
            }
        }
        all.last()
            .is_some_and(|(value, start, _)| is_last(*value, *start))
    });
    all
}
