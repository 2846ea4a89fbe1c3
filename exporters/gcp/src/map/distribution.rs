//! Maps histograms to distributions of the API
//! ([Distribution](https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TypedValue#Distribution)).

use googleapis_tonic_google_monitoring_v3::google::api::Distribution;
use googleapis_tonic_google_monitoring_v3::google::api::distribution::BucketOptions;
use googleapis_tonic_google_monitoring_v3::google::api::distribution::bucket_options::{
    Explicit, Exponential as Buckets, Options,
};
use pipeline::{Bounds, ExponentialHistogram, Histogram};

use crate::map::names::MAX_BUCKETS;

/// Maps a histogram with explicit bounds, or says why the API cannot represent it.
pub(crate) fn explicit(
    histogram: &Histogram,
    bounds: &Bounds,
) -> Result<Distribution, &'static str> {
    if histogram.counts.len() > MAX_BUCKETS {
        return Err("it has more than 200 buckets");
    }
    if bounds.0.is_empty() {
        return Err("it has no bounds");
    }
    let options = Options::ExplicitBuckets(Explicit {
        bounds: bounds.0.clone(),
    });
    build(&histogram.counts, histogram.sum, options)
}

/// Maps an exponential histogram. Zero and negative values go into the underflow bucket.
pub(crate) fn exponential(histogram: &ExponentialHistogram) -> Result<Distribution, &'static str> {
    let below: u64 = histogram
        .negative
        .1
        .iter()
        .fold(histogram.zero_count, |sum, count| sum.wrapping_add(*count));
    let (mut scale, mut first, mut counts) = (
        histogram.scale,
        i64::from(histogram.positive.0),
        histogram.positive.1.clone(),
    );
    // One underflow and one overflow bucket are added to the finite ones. At the next coarser scale two neighbours merge.
    while counts.len() > MAX_BUCKETS - 2 {
        (first, counts) = coarser(first, &counts);
        scale = scale.saturating_sub(1);
    }
    let step = (-f64::from(scale)).exp2();
    #[allow(clippy::cast_precision_loss)]
    let (growth_factor, lowest) = (step.exp2(), (first as f64 * step).exp2());
    if !(growth_factor.is_finite() && growth_factor > 1.0 && lowest.is_normal()) {
        return Err("its buckets are beyond a double's range");
    }
    let options = Options::ExponentialBuckets(Buckets {
        num_finite_buckets: i32::try_from(counts.len().max(1)).unwrap_or(i32::MAX),
        growth_factor,
        scale: lowest,
    });
    counts.insert(0, below);
    build(&counts, histogram.sum, options)
}

fn coarser(first: i64, counts: &[u64]) -> (i64, Vec<u64>) {
    let start = first >> 1;
    let mut merged = vec![0_u64; counts.len() / 2 + 1];
    for (index, count) in (first..).zip(counts) {
        let at = usize::try_from((index >> 1) - start).unwrap_or_default();
        merged[at] = merged[at].wrapping_add(*count);
    }
    (start, merged)
}

#[allow(clippy::cast_precision_loss)]
fn build(counts: &[u64], sum: Option<f64>, options: Options) -> Result<Distribution, &'static str> {
    let sum = sum.ok_or("it has no sum, and so no mean")?;
    let signed: Option<Vec<i64>> = counts.iter().map(|it| i64::try_from(*it).ok()).collect();
    let bucket_counts = signed.ok_or("a count is beyond 63 bits")?;
    let count = bucket_counts
        .iter()
        .try_fold(0_i64, |sum, count| sum.checked_add(*count));
    let count = count.ok_or("its count is beyond 63 bits")?;
    let mean = if count == 0 { 0.0 } else { sum / count as f64 };
    if !mean.is_finite() {
        return Err("its mean is no number");
    }
    Ok(Distribution {
        count,
        mean,
        bucket_options: Some(BucketOptions {
            options: Some(options),
        }),
        bucket_counts,
        ..Distribution::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_histogram_keeps_its_buckets_and_has_a_mean() {
        let histogram = Histogram {
            counts: vec![2, 0, 1],
            sum: Some(7.5),
            range: None,
        };
        let distribution = explicit(&histogram, &Bounds(vec![1.0, 3.0])).unwrap();
        assert_eq!((distribution.count, distribution.mean), (3, 2.5));
        assert_eq!(distribution.bucket_counts, [2, 0, 1]);
        let options = distribution.bucket_options.unwrap().options.unwrap();
        assert_eq!(
            options,
            Options::ExplicitBuckets(Explicit {
                bounds: vec![1.0, 3.0]
            })
        );
        let no_sum = Histogram {
            sum: None,
            ..histogram.clone()
        };
        assert_eq!(
            explicit(&no_sum, &Bounds(vec![1.0, 3.0])),
            Err("it has no sum, and so no mean")
        );
        assert_eq!(
            explicit(&histogram, &Bounds(Vec::new())),
            Err("it has no bounds")
        );
        let wide = Histogram {
            counts: vec![1; 201],
            ..histogram
        };
        assert!(explicit(&wide, &Bounds(vec![1.0; 200])).is_err());
    }

    #[test]
    fn an_exponential_one_has_its_zeros_below_and_fits_into_200_buckets() {
        let histogram = ExponentialHistogram {
            scale: 0,
            zero_count: 3,
            positive: (1, vec![1, 0, 4]),
            negative: (0, vec![2]),
            sum: Some(20.0),
            ..ExponentialHistogram::default()
        };
        let distribution = exponential(&histogram).unwrap();
        assert_eq!((distribution.count, distribution.mean), (10, 2.0));
        assert_eq!(distribution.bucket_counts, [5, 1, 0, 4]);
        let options = distribution.bucket_options.unwrap().options.unwrap();
        let two_to_sixteen = Buckets {
            num_finite_buckets: 3,
            growth_factor: 2.0,
            scale: 2.0,
        };
        assert_eq!(options, Options::ExponentialBuckets(two_to_sixteen));
        let fine = ExponentialHistogram {
            scale: 5,
            positive: (-160, vec![1; 320]),
            ..histogram
        };
        let distribution = exponential(&fine).unwrap();
        let Some(Options::ExponentialBuckets(buckets)) =
            distribution.bucket_options.unwrap().options
        else {
            panic!("exponential")
        };
        let same = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(
            same(buckets.scale, 2_f64.powi(-5)),
            "the lower bound stays: 2^(-160/32)"
        );
        assert!(same(buckets.growth_factor, 2_f64.powf(1.0 / 16.0)));
        assert_eq!(distribution.bucket_counts.iter().sum::<i64>(), 325);
        let none = ExponentialHistogram {
            positive: (0, Vec::new()),
            ..fine
        };
        assert_eq!(exponential(&none).unwrap().bucket_counts, [5]);
    }
}
