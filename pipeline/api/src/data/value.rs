//! What one series showed at one time.

use std::sync::Arc;

/// What one series showed.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing to say now: no point goes out.
    #[default]
    Absent,
    /// The series is over: one point with OTLP's flag "no recorded value", once.
    Ended,
    /// A whole number.
    Int(i64),
    /// A real number.
    Double(f64),
    /// A histogram, by the bounds of the series' [`Kind`](crate::Kind).
    Histogram(Arc<Histogram>),
    /// A histogram whose bounds are its own.
    ExponentialHistogram(Arc<ExponentialHistogram>),
}

impl Value {
    /// What it takes beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Value::Histogram(it) => size_of::<Histogram>() + size_of_val(&*it.counts),
            Value::ExponentialHistogram(it) => {
                let buckets = size_of_val(&*it.positive.1) + size_of_val(&*it.negative.1);
                size_of::<ExponentialHistogram>() + buckets
            }
            _ => 0,
        }
    }
}

/// What a histogram showed
/// ([OpenTelemetry: histogram](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#histogram)). How many
/// measurements there were is the sum of the counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// One a bucket: one more than there are bounds.
    pub counts: Vec<u64>,
    /// The sum of all measurements, where it is known.
    pub sum: Option<f64>,
    /// The smallest and the largest measurement, where they are known.
    pub range: Option<(f64, f64)>,
}

/// What an exponential histogram showed
/// ([OpenTelemetry: exponential histogram](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram)).
/// Bucket `i` holds what is above `base^i` and at most `base^(i+1)`, where `base` is 2^(2^-`scale`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExponentialHistogram {
    /// How fine the buckets are.
    pub scale: i32,
    /// How many measurements were zero, or nearer to it than `zero_threshold`.
    pub zero_count: u64,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// The index of the first bucket, and the counts from there on.
    pub positive: (i32, Vec<u64>),
    /// The same for negative measurements, by their absolute value.
    pub negative: (i32, Vec<u64>),
    /// The sum of all measurements, where it is known.
    pub sum: Option<f64>,
    /// The smallest and the largest measurement, where they are known.
    pub range: Option<(f64, f64)>,
}

impl Histogram {
    /// How many measurements there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, it| sum.wrapping_add(*it))
    }
}

impl ExponentialHistogram {
    /// How many measurements there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        let both = self.positive.1.iter().chain(&self.negative.1);
        both.fold(self.zero_count, |sum, it| sum.wrapping_add(*it))
    }
}
