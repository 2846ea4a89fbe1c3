//! Rows that are one metric.

use std::collections::HashMap;

use crate::data::{Kind, Series};

/// The rows of a table by metric: name, unit, kind; the first row's description. In order of first appearance.
pub(super) fn groups(series: &[Series]) -> Vec<Vec<usize>> {
    let mut at: HashMap<(&str, &str, &Kind), usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (row, series) in series.iter().enumerate() {
        let group = *at
            .entry((&series.name, &series.unit, &series.kind))
            .or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
        groups[group].push(row);
    }
    groups
}
