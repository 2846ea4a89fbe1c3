//! What a metric is: counter, gauge, histogram.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What a metric is, in OpenTelemetry's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Nobody said; goes out as a gauge, which claims nothing.
    #[default]
    Unknown,
    /// A current value that is not to be added up.
    Gauge,
    /// A sum. Monotonic: a counter.
    Sum {
        /// Whether it only grows, but for resets.
        monotonic: bool,
        /// Since when it counts.
        temporality: Temporality,
    },
    /// How many measurements fell between bounds that all its points have in common.
    Histogram {
        /// Since when it counts.
        temporality: Temporality,
        /// The upper bounds of its buckets, inclusive, but for the last one, which has none.
        bounds: Arc<Bounds>,
    },
    /// How many measurements fell between bounds that grow exponentially, each point with its own scale.
    ExponentialHistogram {
        /// Since when it counts.
        temporality: Temporality,
    },
}

impl Kind {
    /// A monotonic cumulative sum.
    pub const COUNTER: Kind = Kind::Sum {
        monotonic: true,
        temporality: Temporality::Cumulative,
    };
    /// A non-monotonic cumulative sum: a current amount that may be added up.
    pub const UP_DOWN_COUNTER: Kind = Kind::Sum {
        monotonic: false,
        temporality: Temporality::Cumulative,
    };

    /// Since when its points count; `None` for a gauge, which counts since nothing.
    #[must_use]
    pub fn temporality(&self) -> Option<Temporality> {
        match self {
            Kind::Unknown | Kind::Gauge => None,
            Kind::Sum { temporality, .. }
            | Kind::Histogram { temporality, .. }
            | Kind::ExponentialHistogram { temporality } => Some(*temporality),
        }
    }

    /// Whether its points count since a start that stays: sums and histograms, but for deltas.
    #[must_use]
    pub fn is_cumulative(&self) -> bool {
        self.temporality() == Some(Temporality::Cumulative)
    }
}

/// The bounds of a histogram's buckets, rising: one fewer than there are buckets.
#[derive(Clone, Debug, Default)]
pub struct Bounds(pub Vec<f64>);

/// By their bits, so that a kind can be a key.
impl PartialEq for Bounds {
    fn eq(&self, other: &Bounds) -> bool {
        self.0
            .iter()
            .map(|it| it.to_bits())
            .eq(other.0.iter().map(|it| it.to_bits()))
    }
}

impl Eq for Bounds {}

impl Hash for Bounds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|it| it.to_bits().hash(state));
    }
}

/// OpenTelemetry's aggregation temporality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// Counts since the start time.
    Cumulative,
    /// Counts since the previous point.
    Delta,
}
