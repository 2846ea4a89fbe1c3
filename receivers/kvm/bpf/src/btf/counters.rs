//! What a struct of statistics holds.

use std::collections::BTreeMap;

use super::{Btf, MAX_DEPTH, MAX_STEPS, Member, kind};

/// A 64-bit counter, or an array of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistic {
    /// The member's name, of 64 bytes at the most.
    pub name: String,
    /// In bytes, from the begin of the statistics.
    pub offset: u32,
    /// How many values it has: more than one for a histogram.
    pub values: u32,
}

struct Counters {
    found: BTreeMap<u32, (String, u32)>,
    end: u32,
    steps: u32,
}

impl Btf<'_> {
    /// The 64-bit counters in `member`, in the order of their offsets; of a union its first view.
    #[must_use]
    pub(crate) fn counters(&self, member: Member) -> Vec<Statistic> {
        let mut counters = Counters {
            found: BTreeMap::new(),
            end: member.size,
            steps: MAX_STEPS,
        };
        self.collect(member.type_id, "", 0, MAX_DEPTH, &mut counters);
        let found = counters.found.into_iter();
        found
            .map(|(offset, (name, values))| Statistic {
                name,
                offset,
                values,
            })
            .collect()
    }

    /// `None` where it was given up: there are too many, or they lie too deep.
    fn collect(
        &self,
        id: u32,
        name: &str,
        at: u32,
        depth: usize,
        counters: &mut Counters,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let id = self.resolve(id)?;
        let size = self.size(id, MAX_DEPTH)?;
        let values = self.values(id, size, name)?;
        if values > 0 && at.checked_add(size)? <= counters.end {
            counters
                .found
                .entry(at)
                .or_insert_with(|| (name.to_owned(), values));
            return Some(());
        }
        for member in self.members(id) {
            counters.steps = counters.steps.checked_sub(1)?;
            let name = self.text(member.name, |text| {
                str::from_utf8(text).map(ToOwned::to_owned)
            });
            if let (Some(Ok(name)), Some(at)) = (name, at.checked_add(member.offset)) {
                self.collect(member.type_id, &name, at, depth, counters);
            }
        }
        Some(())
    }

    /// How many counters a member of this type is; 0 for one that is none, but may hold some.
    fn values(&self, id: u32, size: u32, name: &str) -> Option<u32> {
        let found = self.get(id)?;
        Some(match found.kind {
            _ if name.is_empty() => 0,
            kind::ARRAY if self.size(self.array(id, found)?.0, MAX_DEPTH)? == 8 => size / 8,
            kind::ARRAY => 0,
            _ => u32::from(size == 8),
        })
    }
}
