//! Which series are worth reading, and how often: asked from the exporters up to the receivers, before anything is read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::data::{Head, Series};

/// How often a series is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// Not at all: it need not be read.
    Never,
    /// No more often than this.
    Every(Duration),
    /// At the receiver's own interval.
    Always,
}

impl Want {
    /// What serves both: the more frequent.
    #[must_use]
    pub fn or(self, other: Want) -> Want {
        match (self, other) {
            (Want::Always, _) | (_, Want::Always) => Want::Always,
            (Want::Never, want) | (want, Want::Never) => want,
            (Want::Every(a), Want::Every(b)) => Want::Every(a.min(b)),
        }
    }

    /// The same, but not more often than every `interval`.
    #[must_use]
    pub fn at_most(self, interval: Duration) -> Want {
        match self {
            Want::Never => Want::Never,
            Want::Every(every) => Want::Every(every.max(interval)),
            Want::Always => Want::Every(interval),
        }
    }

    /// The turn that sweep `number` falls into, with `tick` from sweep to sweep; `None` for [`Want::Never`].
    /// It is due when this differs from the turn it last went in: counted in ticks, so that jitter neither skips nor
    /// doubles, and a missed tick delays but does not lose.
    #[must_use]
    pub fn turn(self, number: u64, tick: Duration) -> Option<u64> {
        match self {
            Want::Never => None,
            Want::Always => Some(number),
            Want::Every(interval) => Some(number / ticks(interval, tick)),
        }
    }

    /// The time from turn to turn, with `tick` from sweep to sweep; the tick for [`Want::Never`].
    #[must_use]
    pub fn interval(self, tick: Duration) -> Duration {
        match self {
            Want::Never | Want::Always => tick,
            Want::Every(interval) => {
                let ticks = u32::try_from(ticks(interval, tick)).unwrap_or(u32::MAX);
                tick.saturating_mul(ticks)
            }
        }
    }
}

/// How many ticks an interval has, a part of one counted as one.
fn ticks(interval: Duration, tick: Duration) -> u64 {
    let ticks = interval.as_nanos().div_ceil(tick.as_nanos().max(1)).max(1);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// What becomes of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Keep,
    /// It goes no further, and need not be read if nobody else wants it.
    Drop,
}

type Question = dyn Fn(&Head, &Series, &mut dyn FnMut(Want)) + Send + Sync;

/// A question to all that is downstream: is this series wanted, and how often? It has an answer for each output that
/// the data may go to (one a pipeline and exporter); a receiver parts its series into tables by the answers.
#[derive(Clone)]
pub struct Demand {
    question: Arc<Question>,
    outputs: usize,
    everything: bool,
}

impl Demand {
    /// Wants everything, always.
    #[must_use]
    pub fn everything() -> Demand {
        Demand {
            everything: true,
            ..Demand::new(|_, _| Want::Always)
        }
    }

    /// Wants what this says. It must be honest: what it answers [`Want::Never`] for would not have been let out.
    #[must_use]
    pub fn new(want: impl Fn(&Head, &Series) -> Want + Send + Sync + 'static) -> Demand {
        Demand {
            question: Arc::new(move |head, series, answer| answer(want(head, series))),
            outputs: 1,
            everything: false,
        }
    }

    /// Whether it was made to want everything, always: then nobody need be asked.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// How often the series is wanted, by the output that wants it most often.
    #[must_use]
    pub fn want(&self, head: &Head, series: &Series) -> Want {
        let mut want_of_all = Want::Never;
        (self.question)(head, series, &mut |want| want_of_all = want_of_all.or(want));
        want_of_all
    }

    /// How often each output wants it.
    #[must_use]
    pub fn wants(&self, head: &Head, series: &Series) -> Vec<Want> {
        let mut all = Vec::with_capacity(self.outputs);
        (self.question)(head, series, &mut |want| all.push(want));
        all
    }

    /// The demand above a stage that rewrites series: asks below for what would come out.
    #[must_use]
    pub fn map(
        self,
        rewrite: impl Fn(&mut Head, &mut Series) -> Verdict + Send + Sync + 'static,
    ) -> Demand {
        let outputs = self.outputs;
        let question = move |head: &Head, series: &Series, answer: &mut dyn FnMut(Want)| {
            let (mut head, mut series) = (head.clone(), series.clone());
            match rewrite(&mut head, &mut series) {
                Verdict::Keep => (self.question)(&head, &series, answer),
                Verdict::Drop => (0..outputs).for_each(|_| answer(Want::Never)),
            }
        };
        Demand {
            question: Arc::new(question),
            outputs,
            everything: false,
        }
    }

    /// The same, but not more often than the interval that this gives, where it gives one.
    #[must_use]
    pub fn at_most(
        self,
        interval: impl Fn(&Head, &Series) -> Option<Duration> + Send + Sync + 'static,
    ) -> Demand {
        let outputs = self.outputs;
        let question = move |head: &Head, series: &Series, answer: &mut dyn FnMut(Want)| {
            let interval = interval(head, series);
            (self.question)(head, series, &mut |want| {
                answer(interval.map_or(want, |interval| want.at_most(interval)));
            });
        };
        Demand {
            question: Arc::new(question),
            outputs,
            everything: false,
        }
    }

    /// What serves both, each on outputs of its own.
    #[must_use]
    pub fn or(self, other: Demand) -> Demand {
        let outputs = self.outputs + other.outputs;
        let everything = self.everything && other.everything;
        let question = move |head: &Head, series: &Series, answer: &mut dyn FnMut(Want)| {
            (self.question)(head, series, answer);
            (other.question)(head, series, answer);
        };
        Demand {
            question: Arc::new(question),
            outputs,
            everything,
        }
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demand")
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    #[test]
    fn an_interval_is_counted_in_ticks() {
        let want = Want::Every(Duration::from_secs(3));
        let due: Vec<u64> = (0..70)
            .filter(|n| *n == 0 || want.turn(*n, TICK) != want.turn(n - 1, TICK))
            .collect();
        assert_eq!(due, [0, 30, 60]);
        assert_eq!(
            Want::Every(Duration::from_millis(250)).turn(3, TICK),
            Some(1),
            "rounded up to whole ticks"
        );
    }

    #[test]
    fn the_more_frequent_want_wins() {
        let (one, ten) = (
            Want::Every(Duration::from_secs(1)),
            Want::Every(Duration::from_secs(10)),
        );
        assert_eq!(one.or(ten), one);
        assert_eq!(Want::Never.or(ten), ten);
        assert_eq!(ten.or(Want::Always), Want::Always);
        assert_eq!(one.at_most(Duration::from_secs(10)), ten);
        assert_eq!(Want::Never.at_most(Duration::from_secs(10)), Want::Never);
    }
}
