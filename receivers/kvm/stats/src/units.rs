//! A unit of the kernel's, with base and exponent, as UCUM says it ([UCUM](https://ucum.org/ucum)), and what values are
//! multiplied by for that.

use std::sync::Arc;

use crate::descriptors::StatisticUnit;

/// What a value is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// It stays as it is.
    One,
    /// It stays a whole number.
    Times(u64),
    /// It becomes a real number.
    By(f64),
}

impl Scale {
    /// The base to this power.
    #[must_use]
    pub fn power(base: u8, exponent: i16) -> Scale {
        let factor = u32::try_from(exponent).ok();
        match factor.and_then(|it| u64::from(base).checked_pow(it)) {
            Some(1) => Scale::One,
            Some(factor) => Scale::Times(factor),
            None => Scale::By(f64::from(base).powi(i32::from(exponent))),
        }
    }

    /// The factor; `None`: there is none.
    #[must_use]
    pub fn factor(self) -> Option<f64> {
        match self {
            Scale::One => None,
            Scale::Times(factor) => Some(as_f64(factor)),
            Scale::By(factor) => Some(factor),
        }
    }

    /// A raw number as a real one, multiplied.
    #[must_use]
    pub fn real(self, raw: u64) -> f64 {
        self.scaled(as_f64(raw))
    }

    /// A real number, multiplied.
    #[must_use]
    pub fn scaled(self, number: f64) -> f64 {
        match self {
            Scale::One => number,
            Scale::Times(factor) => number * as_f64(factor),
            // So that 1,500,000,000 ns are 1.5 s, and not next to it.
            Scale::By(factor) if factor < 1.0 => number / (1.0 / factor).round(),
            Scale::By(factor) => number * factor,
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// The unit, where the kernel names one, and what values are multiplied by to be in it. With `normalize`, durations are in
/// seconds and amounts of memory in bytes.
#[must_use]
pub fn unit(
    unit: StatisticUnit,
    base: u8,
    exponent: i16,
    normalize: bool,
) -> (Option<Arc<str>>, Scale) {
    let prefixed = match (unit, base, exponent) {
        (StatisticUnit::Bytes, 2, 10) => Some("KiBy"),
        (StatisticUnit::Bytes, 2, 20) => Some("MiBy"),
        (StatisticUnit::Bytes, 2, 30) => Some("GiBy"),
        (StatisticUnit::Bytes, 2, 40) => Some("TiBy"),
        (StatisticUnit::Bytes, 10, 3) => Some("kBy"),
        (StatisticUnit::Bytes, 10, 6) => Some("MBy"),
        (StatisticUnit::Bytes, 10, 9) => Some("GBy"),
        (StatisticUnit::Bytes, 10, 12) => Some("TBy"),
        (StatisticUnit::Seconds, 10, -3) => Some("ms"),
        (StatisticUnit::Seconds, 10, -6) => Some("us"),
        (StatisticUnit::Seconds, 10, -9) => Some("ns"),
        _ => None,
    };
    if let Some(prefixed) = prefixed.filter(|_| !normalize) {
        return (Some(prefixed.into()), Scale::One);
    }
    let plain = match unit {
        StatisticUnit::None => None,
        StatisticUnit::Bytes => Some("By"),
        StatisticUnit::Seconds => Some("s"),
        StatisticUnit::Cycles => Some("{cycle}"),
        StatisticUnit::Boolean => Some("1"),
    };
    (plain.map(Arc::from), Scale::power(base, exponent))
}
