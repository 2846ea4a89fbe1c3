//! Who has which line of the exposition: the first to come, until it ends or its table has gone.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::names::{FamilyKind, family};
use super::settings::Settings;
use super::table_text::{FamilyText, TableText};
use crate::data::Series;
use crate::telemetry::DropReason;

/// Another series has its line, or another metric its family.
const COLLISION: DropReason = DropReason::loss("collision");

/// Whose a line is: a table, known by its address, and a row.
pub(super) type LineOwner = (usize, u32);

/// The lines that are taken, by a hash, and the names of families.
#[derive(Debug, Default)]
pub(super) struct Lines {
    owners: HashMap<u64, LineOwner>,
    families: HashMap<String, FamilyOwner>,
}

/// A name has one kind, and one metric behind it.
#[derive(Debug)]
struct FamilyOwner {
    metric: Arc<str>,
    kind: FamilyKind,
    /// How many lines it has.
    lines: usize,
}

impl FamilyOwner {
    fn new(of: &FamilyText) -> FamilyOwner {
        FamilyOwner {
            metric: Arc::clone(&of.metric.name),
            kind: of.kind,
            lines: 0,
        }
    }

    fn is_of(&self, family: &FamilyText) -> bool {
        self.metric == family.metric.name && self.kind == family.kind
    }
}

/// Why a series has no line: for what reason its points are dropped, and what is said of it.
pub(super) struct Refusal(pub(super) DropReason, pub(super) String);

impl Lines {
    /// Claims the line of a series for its row.
    pub(super) fn claim(
        &mut self,
        owner: LineOwner,
        series: &Series,
        text: &TableText,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let Some(of) = text.family(owner.1) else {
            let reason = family(&series.metric, settings).err().unwrap_or(COLLISION);
            let why = "has no place in Prometheus' text: a delta, or an exponential histogram";
            return Err(Refusal(reason, why.into()));
        };
        let labels = text.labels(owner.1);
        let names = of.names();
        for name in &names {
            if let Some(other) = self.families.get(name).filter(|it| !it.is_of(of)) {
                let why = format!(
                    "would be {name} for Prometheus, which {} is already",
                    other.metric
                );
                return Err(Refusal(COLLISION, why));
            }
        }
        let hash = hash(of, labels);
        if self.owners.contains_key(&hash) {
            let (name, metric) = (&of.name, &of.metric.name);
            let why =
                format!("would be {name}{{{labels}}} for Prometheus, which {metric} is already");
            return Err(Refusal(COLLISION, why));
        }
        for name in names {
            let known = self.families.entry(name);
            known.or_insert_with(|| FamilyOwner::new(of)).lines += 1;
        }
        self.owners.insert(hash, owner);
        Ok(())
    }

    /// Gives the line of a row back, if it is its own.
    pub(super) fn release(&mut self, owner: LineOwner, text: &TableText) {
        let Some(of) = text.family(owner.1) else {
            return;
        };
        let hash = hash(of, text.labels(owner.1));
        if self.owners.get(&hash) != Some(&owner) {
            return;
        }
        self.owners.remove(&hash);
        for name in of.names() {
            if let Some(known) = self.families.get_mut(&name) {
                known.lines -= 1;
                if known.lines == 0 {
                    self.families.remove(&name);
                }
            }
        }
    }

    /// How many lines and names there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.owners.len(), self.families.len())
    }
}

fn hash(family: &FamilyText, labels: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&family.name, labels).hash(&mut hasher);
    hasher.finish()
}
