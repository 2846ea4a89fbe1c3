//! A statistic in OpenTelemetry's terms: what the kernel's descriptor makes of it, and how its value is read out of a block.

use std::sync::Arc;

use kvm_stats::{Descriptor, Scale, StatisticType, StatisticUnit, unit};
use pipeline::telemetry::escaped;
use pipeline::{
    Bounds, Declared, DeclaredBy, Histogram, Kind, Metric, SourceFile, Temporality, Value,
};

use crate::histograms::Histograms;
use crate::units::value;

/// The subsystem of all metrics, and the first part of their names.
pub(crate) const SUBSYSTEM: &str = "kvm";

/// The most buckets of a logarithmic histogram: those of all 64-bit numbers.
const MAX_LOG_BUCKETS: usize = 65;

/// What a series of a statistic shares with those of other VMs: its metric, and what the kernel says of it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) metric: Arc<Metric>,
    pub(crate) file: Arc<SourceFile>,
}

/// A statistic of a block.
#[derive(Clone, Debug)]
pub(crate) struct Statistic {
    /// The kernel's name: `exits`.
    pub(crate) name: Arc<str>,
    pub(crate) column: Column,
    /// What it is where it is made of those of all vCPUs of a VM.
    pub(crate) sum_column: Column,
    pub(crate) r#type: StatisticType,
    /// Where its numbers begin, in bytes from the start of the data, and how many there are.
    pub(crate) offset: usize,
    pub(crate) size: usize,
    pub(crate) scale: Scale,
    /// Where the sum of what a histogram counts is, and its scale.
    sum: Option<(usize, Scale)>,
}

impl Statistic {
    /// A statistic by its descriptor, one of `all`. `None`: of a kind that this program does not know.
    pub(crate) fn new(of: &Descriptor, all: &[Descriptor], normalize: bool) -> Option<Statistic> {
        let (r#type, base) = (of.statistic_type()?, of.base()?);
        let (unit, scale) = unit(of.unit()?, base, of.exponent, normalize);
        let kind = kind(of, r#type, scale)?;
        let name: Arc<str> = escaped(&of.name).into();
        let is_known = !name.is_empty() && (of.size == 1 || is_histogram(r#type));
        let own = column(&name, r#type, of.unit(), kind, unit);
        // Of truth values it is the number of vCPUs for which they hold.
        let sum_column = if of.unit() == Some(StatisticUnit::Boolean) {
            let unit = Some("{vcpu}".into());
            column(&name, r#type, of.unit(), Kind::UP_DOWN_COUNTER, unit)
        } else {
            own.clone()
        };
        is_known.then(|| Statistic {
            column: own,
            sum_column,
            name,
            r#type,
            offset: of.offset,
            size: of.size,
            scale,
            sum: is_histogram(r#type)
                .then(|| sum_of(of, all))
                .flatten()
                .map(|it| (it, scale)),
        })
    }

    /// A number of which no descriptor tells more than where it is: what it is, others may know by its name.
    #[cfg(feature = "bpf")]
    pub(crate) fn untyped(name: &str, offset: usize, normalize: bool) -> Statistic {
        let name: Arc<str> = escaped(name).into();
        let (column, scale) = crate::series::untyped(&name, normalize);
        Statistic {
            sum_column: column.clone(),
            column,
            name,
            r#type: StatisticType::Cumulative,
            offset,
            size: 1,
            scale,
            sum: None,
        }
    }

    /// What its series is, or that of the sum of all vCPUs.
    pub(crate) fn column_of(&self, is_sum: bool) -> &Column {
        if is_sum {
            &self.sum_column
        } else {
            &self.column
        }
    }

    /// Its value in this block of numbers. What is beyond 64 bits with a sign is counted as `lossy`.
    #[inline]
    pub(crate) fn value(&self, data: &[u8], lossy: &mut u64, histograms: &mut Histograms) -> Value {
        if !is_histogram(self.r#type) {
            let raw = word(data, self.offset);
            return raw.map_or(Value::Absent, |raw| value(self.scale, raw, lossy));
        }
        self.histogram(data, histograms)
            .map_or(Value::Absent, Value::Histogram)
    }

    fn histogram(&self, data: &[u8], histograms: &mut Histograms) -> Option<Arc<Histogram>> {
        let buckets = data.get(self.offset..self.offset + self.size * 8)?;
        let sum = self
            .sum
            .and_then(|(at, scale)| Some((word(data, at)?, scale)));
        let sum = sum.map(|(raw, scale)| scale.real(raw));
        Some(histograms.take(words(buckets), sum))
    }
}

impl Statistic {
    /// Whether it has buckets.
    pub(crate) fn is_histogram(&self) -> bool {
        is_histogram(self.r#type)
    }

    /// Adds another vCPU's numbers to those that are there: sums, the maximum of peaks, bucket by bucket.
    pub(crate) fn add(&self, sums: &mut [u8], data: &[u8]) {
        let numbers = self.offset..self.offset + self.size * 8;
        let (Some(sums), Some(data)) = (sums.get_mut(numbers.clone()), data.get(numbers)) else {
            return;
        };
        for (sum, number) in sums.chunks_exact_mut(8).zip(words(data)) {
            let before = words(sum).next().unwrap_or_default();
            let after = match self.r#type {
                StatisticType::Peak => before.max(number),
                _ => before.wrapping_add(number),
            };
            sum.copy_from_slice(&after.to_ne_bytes());
        }
    }
}

/// Whether it has buckets.
fn is_histogram(r#type: StatisticType) -> bool {
    matches!(
        r#type,
        StatisticType::LinearHistogram | StatisticType::LogHistogram
    )
}

/// What it is in OpenTelemetry's terms.
fn kind(of: &Descriptor, r#type: StatisticType, scale: Scale) -> Option<Kind> {
    match (r#type, of.unit()?) {
        (StatisticType::Cumulative, _) => Some(Kind::COUNTER),
        // A number of things that are there now can be added up; a truth value, a time or a rate cannot.
        (StatisticType::Instant, StatisticUnit::None | StatisticUnit::Bytes) => {
            Some(Kind::UP_DOWN_COUNTER)
        }
        (StatisticType::Instant | StatisticType::Peak, _) => Some(Kind::Gauge),
        (StatisticType::LinearHistogram | StatisticType::LogHistogram, _) => {
            let bounds = bounds(of, r#type)?.into_iter().map(|it| scale.scaled(it));
            Some(Kind::Histogram {
                temporality: Temporality::Cumulative,
                bounds: Arc::new(Bounds(bounds.collect())),
            })
        }
    }
}

/// The upper bounds of a histogram's buckets, inclusive as OpenTelemetry has them. What is counted are whole numbers, and
/// a bucket ends before its upper bound: so that is one less. The last bucket has none.
fn bounds(of: &Descriptor, r#type: StatisticType) -> Option<Vec<f64>> {
    let last = of.size.checked_sub(1)?;
    match r#type {
        // From 2^(i-1), or 0, to below 2^i.
        StatisticType::LogHistogram if of.size <= MAX_LOG_BUCKETS => {
            Some((0..last).map(|it| power_of_two(it) - 1.0).collect())
        }
        // From i times the width to below (i + 1) times the width.
        StatisticType::LinearHistogram if of.bucket_size > 0 => {
            let width = f64::from(of.bucket_size);
            let ends = (0..last).scan(0.0, |end, _| {
                *end += width;
                Some(*end)
            });
            Some(ends.map(|end| end - 1.0).collect())
        }
        _ => None,
    }
}

fn power_of_two(exponent: usize) -> f64 {
    i32::try_from(exponent).map_or(f64::INFINITY, |it| 2_f64.powi(it))
}

/// Where the sum of what a histogram counts is: KVM counts `X_ns` beside `X_hist`.
fn sum_of(of: &Descriptor, all: &[Descriptor]) -> Option<usize> {
    let twin = format!("{}_ns", of.name.strip_suffix("_hist")?);
    let same = |it: &&Descriptor| {
        let (a, b) = (of.flags & !0xF, it.flags & !0xF);
        it.name == twin && it.size == 1 && (a, of.exponent) == (b, it.exponent)
    };
    let twin = all.iter().find(same)?;
    (twin.statistic_type() == Some(StatisticType::Cumulative)).then_some(twin.offset)
}

/// What goes with the series, as a tree's `.schema` does: what the kernel does not say is left to others.
fn column(
    name: &Arc<str>,
    r#type: StatisticType,
    of_unit: Option<StatisticUnit>,
    kind: Kind,
    unit: Option<Arc<str>>,
) -> Column {
    let mut declared = Declared::default();
    declared.by = DeclaredBy::Kernel;
    // Of what is a sum and what is summed up, this receiver gives one.
    declared.aggregate = Some(false);
    // Whether a number of things may be added up is not the kernel's to say: a catalog may know better.
    let is_amount = r#type == StatisticType::Instant && of_unit == Some(StatisticUnit::None);
    declared.kind = (!is_amount).then(|| kind.clone());
    declared.unit.clone_from(&unit);
    let mut file = SourceFile::new(Arc::clone(name));
    file.declared = Some(Arc::new(declared));
    let mut metric = Metric::default();
    metric.name = format!("{SUBSYSTEM}/{name}").into();
    metric.unit = unit.unwrap_or_default();
    metric.kind = kind;
    Column {
        metric: Arc::new(metric),
        file: Arc::new(file),
    }
}

/// The number at this place.
fn word(data: &[u8], at: usize) -> Option<u64> {
    let eight = data.get(at..at.checked_add(8)?)?;
    Some(u64::from_ne_bytes(eight.try_into().ok()?))
}

/// All numbers.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes
        .chunks_exact(8)
        .map(|it| it.try_into().map_or(0, u64::from_ne_bytes))
}
