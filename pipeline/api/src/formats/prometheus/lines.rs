//! Who has which line of the exposition: the first to come, until it ends or its table has gone.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::names::{family, labels};
use crate::data::Series;
use crate::telemetry::DropReason;

/// Another series has its line, or another metric its family.
const COLLISION: DropReason = DropReason::loss("collision");
/// It is a histogram.
const HISTOGRAM: DropReason = DropReason::loss("histogram");

/// Whose a line is: a table, known by its address, and a row.
pub(super) type LineOwner = (usize, usize);

/// The lines that are taken, by a hash, and the families that they are of.
#[derive(Debug, Default)]
pub(super) struct Lines {
    owners: HashMap<u64, LineOwner>,
    families: HashMap<String, FamilyOwner>,
}

/// A family has one kind, and one metric behind it.
#[derive(Debug)]
struct FamilyOwner {
    metric: Arc<str>,
    kind: &'static str,
    /// How many lines it has.
    lines: usize,
}

/// Why a series has no line: for what reason its points are dropped, and what is said of it.
pub(super) struct Refusal(pub(super) DropReason, pub(super) String);

/// A series' line but for its value.
pub(super) struct Line {
    pub(super) kind: &'static str,
    pub(super) family: String,
    pub(super) labels: String,
}

impl Line {
    /// The line of this series, if it can have one.
    pub(super) fn of(series: &Series) -> Option<Line> {
        let (kind, family) = family(series)?;
        let labels = labels(&series.attributes);
        Some(Line {
            kind,
            family,
            labels,
        })
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.family, &self.labels).hash(&mut hasher);
        hasher.finish()
    }
}

impl Lines {
    /// Whether the line is this row's.
    pub(super) fn is_owner(&self, row: LineOwner, line: &Line) -> bool {
        self.owners.get(&line.hash()) == Some(&row)
    }

    /// Claims the line of a series for its row.
    pub(super) fn claim(&mut self, row: LineOwner, series: &Series) -> Result<(), Refusal> {
        let Some(line) = Line::of(series) else {
            let why = "is a histogram, which is not written";
            return Err(Refusal(HISTOGRAM, why.into()));
        };
        let hash = line.hash();
        let is_taken = self.owners.contains_key(&hash);
        let owner = self.families.get(&line.family);
        let is_other = |it: &FamilyOwner| it.metric != series.name || it.kind != line.kind;
        if let Some(owner) = owner.filter(|it| is_taken || is_other(it)) {
            let of_it = if is_other(owner) { "" } else { &line.labels };
            let (family, metric) = (&line.family, &owner.metric);
            let why = format!("would be {family}{of_it} for Prometheus, which {metric} is already");
            return Err(Refusal(COLLISION, why));
        }
        let owner = self.families.entry(line.family);
        let owner = owner.or_insert_with(|| FamilyOwner {
            metric: Arc::clone(&series.name),
            kind: line.kind,
            lines: 0,
        });
        owner.lines += 1;
        self.owners.insert(hash, row);
        Ok(())
    }

    /// Gives the line of a series back, if it is this row's.
    pub(super) fn release(&mut self, row: LineOwner, series: &Series) {
        let Some(line) = Line::of(series) else { return };
        let hash = line.hash();
        if self.owners.get(&hash) != Some(&row) {
            return;
        }
        self.owners.remove(&hash);
        if let Some(owner) = self.families.get_mut(&line.family) {
            owner.lines -= 1;
            if owner.lines == 0 {
                self.families.remove(&line.family);
            }
        }
    }

    /// How many lines and families there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.owners.len(), self.families.len())
    }
}
