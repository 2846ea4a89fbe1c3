//! What the running kernel says of a statistic, and whether a catalog says otherwise.

use std::sync::Arc;

use kvm_stats::{Descriptor, StatisticType, StatisticUnit};
use pipeline::formats::text::kind_word;
use pipeline::{Declared, Kind, Series};

use crate::catalog::CatalogEntry;

/// What the running kernel says of a statistic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KernelType {
    /// `None`: there is no number to export.
    kind: Option<Kind>,
    /// Whether it is a number of things that are there now: whether such may be added up a catalog knows better.
    is_amount: bool,
    /// `None`: it counts things, of which a catalog may know the name.
    unit: Option<Arc<str>>,
    /// What values are multiplied by to be in that unit; `None`: they are.
    pub(crate) scale: Option<f64>,
    /// Whether values may have been converted to that unit before they came in.
    is_converted: bool,
}

/// What a unit is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Things,
    Bytes,
    Time,
    Other,
}

impl KernelType {
    /// What is in the statistic's file in debugfs. A VM's file is the sum over its vCPUs, of truth values too: so it says
    /// of how many vCPUs they hold, and a vCPU's own file the same. Of a histogram it is the first bucket only, which is
    /// no number to export. `None`: the type, unit or base is one that this program does not know.
    pub(crate) fn of_file(of: &Descriptor) -> Option<KernelType> {
        let (r#type, unit) = (of.statistic_type()?, of.unit()?);
        let (unit_text, scale) = kvm_stats::unit(unit, of.base()?, of.exponent, false);
        let kind = match (r#type, unit) {
            (StatisticType::LinearHistogram | StatisticType::LogHistogram, _) => None,
            _ if of.size != 1 => return None,
            (StatisticType::Cumulative, _) => Some(Kind::COUNTER),
            (
                StatisticType::Instant,
                StatisticUnit::None | StatisticUnit::Bytes | StatisticUnit::Boolean,
            ) => Some(Kind::UP_DOWN_COUNTER),
            (StatisticType::Instant | StatisticType::Peak, _) => Some(Kind::Gauge),
        };
        let unit_text = match unit {
            StatisticUnit::Boolean => Some("{vcpu}".into()),
            _ => unit_text,
        };
        Some(KernelType {
            kind,
            is_amount: r#type == StatisticType::Instant && unit == StatisticUnit::None,
            unit: unit_text,
            scale: scale.factor(),
            is_converted: false,
        })
    }

    /// A statistic of which no number can be exported: it is of a kind that this program does not know.
    pub(crate) fn unknown() -> KernelType {
        KernelType {
            kind: None,
            is_amount: false,
            unit: None,
            scale: None,
            is_converted: false,
        }
    }

    /// What a receiver declares in the kernel's name, of a series as it comes in.
    pub(crate) fn declared(series: &Series, declared: &Declared) -> KernelType {
        KernelType {
            kind: Some(series.kind.clone()),
            is_amount: declared.kind.is_none(),
            unit: declared.unit.clone(),
            scale: None,
            is_converted: true,
        }
    }

    /// Its kind, where the catalog may know more of what the kernel leaves open; `None`: there is no number to export.
    pub(crate) fn kind(&self, entry: Option<&CatalogEntry>) -> Option<Kind> {
        let better = entry.filter(|it| self.is_amount && self.agrees_in_kind(it));
        better.map_or(&self.kind, |it| &it.kind).clone()
    }

    /// Its unit, if the kernel has one, or the catalog one that does not fit a number of things.
    pub(crate) fn unit(&self, entry: Option<&CatalogEntry>) -> Option<Arc<str>> {
        let is_wrong = entry.is_some_and(|it| !self.agrees_in_unit(it));
        let no_unit = || is_wrong.then(Arc::default);
        self.unit.clone().or_else(no_unit)
    }

    /// Whether it has no unit but what the things are called that it counts.
    pub(crate) fn counts_things(&self) -> bool {
        self.unit.is_none()
    }

    /// Whether both count, or both do not; a histogram is none of a catalog's numbers.
    pub(crate) fn agrees_in_kind(&self, entry: &CatalogEntry) -> bool {
        match (&self.kind, &entry.kind) {
            (None | Some(Kind::Histogram { .. }), it) => it.is_none(),
            (Some(kernel), Some(catalog)) => {
                (*kernel == Kind::COUNTER) == (*catalog == Kind::COUNTER)
            }
            (Some(_), None) => false,
        }
    }

    /// Whether both are units of the same, in the same multiple where no value was converted.
    pub(crate) fn agrees_in_unit(&self, entry: &CatalogEntry) -> bool {
        let (kernel, catalog) = (self.unit.as_deref().unwrap_or_default(), &*entry.unit);
        let of = dimension(kernel);
        kernel == catalog
            || catalog.is_empty()
            || (of == dimension(catalog) && (self.is_converted || of == Dimension::Things))
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        words(self.kind.as_ref(), self.unit.as_deref())
    }
}

/// What a catalog says, in words.
pub(crate) fn words_of(entry: &CatalogEntry) -> String {
    words(entry.kind.as_ref(), Some(&*entry.unit))
}

fn words(kind: Option<&Kind>, unit: Option<&str>) -> String {
    let Some(kind) = kind.map(kind_word) else {
        return "no number to export".into();
    };
    let unit = unit.filter(|it| !it.is_empty());
    unit.map_or_else(|| kind.to_owned(), |unit| format!("{kind} {unit}"))
}

fn dimension(unit: &str) -> Dimension {
    match unit {
        "" | "1" => Dimension::Things,
        "s" | "ms" | "us" | "ns" => Dimension::Time,
        _ if unit.starts_with('{') => Dimension::Things,
        _ if unit.ends_with("By") => Dimension::Bytes,
        _ => Dimension::Other,
    }
}

#[cfg(test)]
mod tests;
