//! Parts of a log.

use std::collections::BTreeMap;

use pipeline::{LogPosition, LogRange};

/// Ranges that have nothing in common and do not touch, by their starts.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<LogPosition, LogPosition>);

impl Ranges {
    pub(super) fn insert(&mut self, range: &LogRange) {
        if range.start >= range.end {
            return;
        }
        self.remove(range);
        let before = self.0.range(..range.start).next_back();
        let before = before.filter(|(_, end)| **end == range.start);
        let start = before.map_or(range.start, |(start, _)| *start);
        let end = self.0.remove(&range.end).unwrap_or(range.end);
        self.0.insert(start, end);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of a range is in here.
    pub(super) fn contains(&self, range: &LogRange) -> bool {
        let before = self.0.range(..=range.start).next_back();
        before.is_some_and(|(_, end)| *end >= range.end)
    }

    /// How many points they have.
    pub(super) fn points(&self) -> u64 {
        let points =
            |(start, end): (&LogPosition, &LogPosition)| end.points.saturating_sub(start.points);
        self.0.iter().map(points).sum()
    }

    /// Takes out what of a range is in here.
    pub(super) fn remove(&mut self, range: &LogRange) {
        if range.start >= range.end {
            return;
        }
        let touched = self.0.range(..range.end).rev();
        let touched = touched.map(|(start, end)| *start..*end);
        let touched: Vec<LogRange> = touched.take_while(|it| it.end > range.start).collect();
        for it in touched {
            self.0.remove(&it.start);
            let before = it.start..range.start;
            let after = range.end..it.end;
            for rest in [before, after].into_iter().filter(|it| it.start < it.end) {
                self.0.insert(rest.start, rest.end);
            }
        }
    }

    pub(super) fn ranges(&self) -> Vec<LogRange> {
        self.0.iter().map(|(start, end)| *start..*end).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(requests: u64) -> LogPosition {
        let points = requests * 10;
        LogPosition { requests, points }
    }

    #[test]
    fn they_are_what_was_put_in_but_for_what_was_taken_out_and_none_touches_another() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let (mut ranges, mut expected) = (Ranges::default(), BTreeSet::new());
            for _ in 0..40 {
                let start = random.u64(..40);
                let numbers = start..start + random.u64(..4);
                let range = at(numbers.start)..at(numbers.end);
                if random.bool() {
                    ranges.insert(&range);
                    expected.extend(numbers);
                    assert!(range.start == range.end || ranges.contains(&range));
                } else {
                    ranges.remove(&range);
                    expected.retain(|it| !numbers.contains(it));
                }
                let all = ranges.ranges();
                let found = all.iter();
                let found = found.flat_map(|it| it.start.requests..it.end.requests);
                assert!(found.eq(expected.iter().copied()));
                assert!(all.windows(2).all(|it| it[0].end < it[1].start), "{all:?}");
                assert_eq!(ranges.points(), 10 * expected.len() as u64);
            }
        }
    }
}
