//! Values as the API has them, and what can be done with two of one series: a baseline taken off, a delta added.

use googleapis_tonic_google_monitoring_v3::google::api::Distribution;
use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::ValueType;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{TypedValue, typed_value};

/// A point's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Amount {
    Int(i64),
    Double(f64),
    Bool(bool),
    Distribution(Box<Distribution>),
}

impl Amount {
    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            Amount::Int(_) => ValueType::Int64,
            Amount::Double(_) => ValueType::Double,
            Amount::Bool(_) => ValueType::Bool,
            Amount::Distribution(_) => ValueType::Distribution,
        }
    }

    /// The same value in the type that the metric's descriptor has; `None` where it would be another value.
    pub(crate) fn in_type(self, wanted: ValueType) -> Option<Amount> {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        match (self, wanted) {
            (it, wanted) if it.value_type() == wanted => Some(it),
            (Amount::Int(it), ValueType::Double) => Some(Amount::Double(it as f64)),
            // Whole numbers that a double holds exactly.
            (Amount::Double(it), ValueType::Int64) if it.fract() == 0.0 && it.abs() < 9e15 => {
                Some(Amount::Int(it as i64))
            }
            _ => None,
        }
    }

    /// Whether a counter that showed `before` and now shows this was set back.
    pub(crate) fn is_less(&self, before: &Amount) -> bool {
        match (self, before) {
            (Amount::Int(now), Amount::Int(before)) => now < before,
            (Amount::Distribution(now), Amount::Distribution(before)) => now.count < before.count,
            (now, before) => now.number() < before.number(),
        }
    }

    /// What is above `base`; `None` where they cannot be compared (other bounds).
    pub(crate) fn minus(&self, base: &Amount) -> Option<Amount> {
        match (self, base) {
            (Amount::Int(it), Amount::Int(base)) => Some(Amount::Int(it.wrapping_sub(*base))),
            (Amount::Distribution(it), Amount::Distribution(base)) => merge(it, base, -1),
            (it, base) => Some(Amount::Double(it.number()? - base.number()?)),
        }
    }

    /// Both; `None` where they cannot be added.
    pub(crate) fn plus(&self, more: &Amount) -> Option<Amount> {
        match (self, more) {
            (Amount::Int(it), Amount::Int(more)) => Some(Amount::Int(it.wrapping_add(*more))),
            (Amount::Distribution(it), Amount::Distribution(more)) => merge(it, more, 1),
            (it, more) => Some(Amount::Double(it.number()? + more.number()?)),
        }
    }

    fn number(&self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)]
        match self {
            Amount::Int(it) => Some(*it as f64),
            Amount::Double(it) => Some(*it),
            Amount::Bool(_) | Amount::Distribution(_) => None,
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn merge(it: &Distribution, other: &Distribution, sign: i64) -> Option<Amount> {
    if it.bucket_options != other.bucket_options {
        return None;
    }
    // A count is never negative, and so its other sign is there.
    let both = |a: i64, b: i64| a.checked_add(sign * b).filter(|both| *both >= 0);
    let count = both(it.count, other.count)?;
    let sum = it.mean * it.count as f64 + sign as f64 * other.mean * other.count as f64;
    let width = it.bucket_counts.len().max(other.bucket_counts.len());
    let at = |counts: &[i64], bucket: usize| counts.get(bucket).copied().unwrap_or_default();
    let bucket_counts: Option<Vec<i64>> = (0..width)
        .map(|bucket| {
            both(
                at(&it.bucket_counts, bucket),
                at(&other.bucket_counts, bucket),
            )
        })
        .collect();
    let bucket_counts = bucket_counts?;
    let mean = if count == 0 { 0.0 } else { sum / count as f64 };
    Some(Amount::Distribution(Box::new(Distribution {
        count,
        mean,
        bucket_options: it.bucket_options.clone(),
        bucket_counts,
        ..Distribution::default()
    })))
}

impl From<Amount> for TypedValue {
    fn from(amount: Amount) -> TypedValue {
        let value = match amount {
            Amount::Int(it) => typed_value::Value::Int64Value(it),
            Amount::Double(it) => typed_value::Value::DoubleValue(it),
            Amount::Bool(it) => typed_value::Value::BoolValue(it),
            Amount::Distribution(it) => typed_value::Value::DistributionValue(*it),
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
            Amount::Int(3).in_type(ValueType::Double),
            Some(Amount::Double(3.0))
        );
        assert_eq!(
            Amount::Double(3.0).in_type(ValueType::Int64),
            Some(Amount::Int(3))
        );
        assert_eq!(Amount::Double(3.5).in_type(ValueType::Int64), None);
        assert_eq!(Amount::Double(1e300).in_type(ValueType::Int64), None);
        assert_eq!(Amount::Bool(true).in_type(ValueType::Int64), None);
    }
}
