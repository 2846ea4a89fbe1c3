//! What of a log is still to be sent.

use std::collections::BTreeMap;

use pipeline::{LogPosition, LogRange};

/// Ranges that have nothing in common and do not touch, by their starts.
#[derive(Debug, Default)]
pub(super) struct Pending(BTreeMap<LogPosition, LogPosition>);

impl Pending {
    /// A range behind all others.
    pub(super) fn push(&mut self, range: LogRange) {
        match self.0.last_entry() {
            Some(mut last) if *last.get() == range.start => *last.get_mut() = range.end,
            _ if range.start < range.end => drop(self.0.insert(range.start, range.end)),
            _ => {}
        }
    }

    /// Takes out what of a range is in here.
    pub(super) fn remove(&mut self, range: &LogRange) {
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
    use super::*;

    fn at(requests: u64) -> LogPosition {
        let points = requests * 10;
        LogPosition { requests, points }
    }

    #[test]
    fn it_is_what_was_put_in_but_for_what_was_taken_out() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let (mut pending, mut expected, mut end) = (Pending::default(), vec![], 0);
            for _ in 0..40 {
                if random.bool() {
                    let start = end + random.u64(..2);
                    end = start + random.u64(..4);
                    pending.push(at(start)..at(end));
                    expected.extend(start..end);
                } else {
                    let start = random.u64(..=end);
                    let range = start..start + random.u64(..4);
                    pending.remove(&(at(range.start)..at(range.end)));
                    expected.retain(|it| !range.contains(it));
                }
                let ranges = pending.ranges();
                let found = ranges
                    .iter()
                    .flat_map(|it| it.start.requests..it.end.requests);
                assert_eq!(found.collect::<Vec<_>>(), expected);
            }
        }
    }
}
