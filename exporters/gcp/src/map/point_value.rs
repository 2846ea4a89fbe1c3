//! Values as the API has them, and arithmetic on two values of one series: subtract a baseline, add a delta.

use googleapis_tonic_google_monitoring_v3::google::api::Distribution;
use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::ValueType;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{TypedValue, typed_value};

/// The value of a data point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PointValue {
    Int(i64),
    Double(f64),
    Bool(bool),
    Distribution(Box<Distribution>),
}

impl PointValue {
    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            PointValue::Int(_) => ValueType::Int64,
            PointValue::Double(_) => ValueType::Double,
            PointValue::Bool(_) => ValueType::Bool,
            PointValue::Distribution(_) => ValueType::Distribution,
        }
    }

    /// The same value in the type of the metric's descriptor; `None` where the conversion would change it.
    pub(crate) fn in_type(self, wanted: ValueType) -> Option<PointValue> {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        match (self, wanted) {
            (it, wanted) if it.value_type() == wanted => Some(it),
            (PointValue::Int(it), ValueType::Double) => Some(PointValue::Double(it as f64)),
            // Integers that a double represents exactly.
            (PointValue::Double(it), ValueType::Int64) if it.fract() == 0.0 && it.abs() < 9e15 => {
                Some(PointValue::Int(it as i64))
            }
            _ => None,
        }
    }

    /// Whether a counter was reset: it showed `before`, and now shows this.
    pub(crate) fn is_less(&self, before: &PointValue) -> bool {
        match (self, before) {
            (PointValue::Int(now), PointValue::Int(before)) => now < before,
            (PointValue::Distribution(now), PointValue::Distribution(before)) => {
                now.count < before.count
            }
            (now, before) => now.number() < before.number(),
        }
    }

    /// The difference to `base`; `None` where they cannot be compared (other bounds).
    pub(crate) fn minus(&self, base: &PointValue) -> Option<PointValue> {
        match (self, base) {
            (PointValue::Int(it), PointValue::Int(base)) => {
                Some(PointValue::Int(it.wrapping_sub(*base)))
            }
            (PointValue::Distribution(it), PointValue::Distribution(base)) => merge(it, base, -1),
            (it, base) => Some(PointValue::Double(it.number()? - base.number()?)),
        }
    }

    /// The sum; `None` where they cannot be added (other bounds).
    pub(crate) fn plus(&self, more: &PointValue) -> Option<PointValue> {
        match (self, more) {
            (PointValue::Int(it), PointValue::Int(more)) => {
                Some(PointValue::Int(it.wrapping_add(*more)))
            }
            (PointValue::Distribution(it), PointValue::Distribution(more)) => merge(it, more, 1),
            (it, more) => Some(PointValue::Double(it.number()? + more.number()?)),
        }
    }

    fn number(&self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)]
        match self {
            PointValue::Int(it) => Some(*it as f64),
            PointValue::Double(it) => Some(*it),
            PointValue::Bool(_) | PointValue::Distribution(_) => None,
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn merge(distribution: &Distribution, other: &Distribution, sign: i64) -> Option<PointValue> {
    if distribution.bucket_options != other.bucket_options {
        return None;
    }
    // The sum of counts, or their difference. A negative count is refused.
    let both = |a: i64, b: i64| a.checked_add(sign * b).filter(|both| *both >= 0);
    let count = both(distribution.count, other.count)?;
    let sum = distribution.mean * distribution.count as f64
        + sign as f64 * other.mean * other.count as f64;
    let width = distribution
        .bucket_counts
        .len()
        .max(other.bucket_counts.len());
    let at = |counts: &[i64], bucket: usize| counts.get(bucket).copied().unwrap_or_default();
    let bucket_counts: Option<Vec<i64>> = (0..width)
        .map(|bucket| {
            both(
                at(&distribution.bucket_counts, bucket),
                at(&other.bucket_counts, bucket),
            )
        })
        .collect();
    let bucket_counts = bucket_counts?;
    let mean = if count == 0 { 0.0 } else { sum / count as f64 };
    Some(PointValue::Distribution(Box::new(Distribution {
        count,
        mean,
        bucket_options: distribution.bucket_options.clone(),
        bucket_counts,
        ..Distribution::default()
    })))
}

impl From<PointValue> for TypedValue {
    fn from(value: PointValue) -> TypedValue {
        let value = match value {
            PointValue::Int(it) => typed_value::Value::Int64Value(it),
            PointValue::Double(it) => typed_value::Value::DoubleValue(it),
            PointValue::Bool(it) => typed_value::Value::BoolValue(it),
            PointValue::Distribution(it) => typed_value::Value::DistributionValue(*it),
        };
        TypedValue { value: Some(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_the_descriptors_type_or_is_none() {
        assert_eq!(
            PointValue::Int(3).in_type(ValueType::Double),
            Some(PointValue::Double(3.0))
        );
        assert_eq!(
            PointValue::Double(3.0).in_type(ValueType::Int64),
            Some(PointValue::Int(3))
        );
        assert_eq!(PointValue::Double(3.5).in_type(ValueType::Int64), None);
        assert_eq!(PointValue::Double(1e300).in_type(ValueType::Int64), None);
        assert_eq!(PointValue::Bool(true).in_type(ValueType::Int64), None);
    }
}
