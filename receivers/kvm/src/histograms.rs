//! Histograms, sweep after sweep: each is filled anew where nobody has it any more, instead of being freed, by another
//! thread, and allocated again.

use std::collections::VecDeque;
use std::sync::Arc;

use pipeline::Histogram;

/// Those of the last sweep, in the order in which they are read, and behind them those of this one.
#[derive(Debug, Default)]
pub(crate) struct Histograms {
    all: VecDeque<Arc<Histogram>>,
    /// How many of them are this sweep's.
    taken: usize,
}

impl Histograms {
    /// One with these counts.
    pub(crate) fn take(
        &mut self,
        counts: impl Iterator<Item = u64>,
        sum: Option<f64>,
    ) -> Arc<Histogram> {
        let last = (self.taken < self.all.len()).then(|| self.all.pop_front());
        let mut histogram = last.flatten().unwrap_or_default();
        if let Some(histogram) = Arc::get_mut(&mut histogram) {
            histogram.counts.clear();
            histogram.counts.extend(counts);
            histogram.sum = sum;
        } else {
            histogram = Arc::new(Histogram {
                counts: counts.collect(),
                sum,
                range: None,
            });
        }
        self.all.push_back(Arc::clone(&histogram));
        self.taken += 1;
        histogram
    }

    /// What the last sweep had more is no longer kept.
    pub(crate) fn end_sweep(&mut self) {
        let more = self.all.len() - std::mem::take(&mut self.taken);
        self.all.drain(..more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_nobody_has_is_filled_anew_and_any_other_is_left_as_it_is() {
        let mut histograms = Histograms::default();
        let counts = |it: &Arc<Histogram>| it.counts.clone();
        let first = histograms.take([1, 2].into_iter(), Some(3.0));
        let kept = histograms.take([3].into_iter(), None);
        histograms.end_sweep();
        let place = Arc::as_ptr(&first);
        drop(first);
        let again = histograms.take([4].into_iter(), None);
        assert_eq!((Arc::as_ptr(&again), again.sum), (place, None));
        let other = histograms.take([5].into_iter(), None);
        assert_eq!(
            [counts(&again), counts(&kept), counts(&other)],
            [[4], [3], [5]]
        );
        histograms.end_sweep();
        // Fewer, and then none.
        histograms.take([6].into_iter(), None);
        histograms.end_sweep();
        assert_eq!(histograms.all.len(), 1);
        histograms.end_sweep();
        assert!(histograms.all.is_empty());
    }
}
