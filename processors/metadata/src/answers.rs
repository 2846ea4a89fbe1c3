//! Who says what of a metric: of those that are asked, the first that answers.

use std::sync::Arc;

use pipeline::{Declared, DeclaredBy, Kind, Series, Source};

use crate::catalog::CatalogEntry;
use crate::config::{Aggregates, MetadataRule, MetadataSource, Unmatched};
use crate::kernel::is_kvm_aggregate;
use crate::kernel_type::{KernelType, words_of};
use crate::types::Types;

/// What is known of a series as it comes in.
pub(crate) struct Known<'a> {
    /// The rules that match, if they are asked at all.
    pub(crate) rules: Vec<&'a MetadataRule>,
    source: Option<&'a Source>,
    declared: Option<&'a Declared>,
    pub(crate) entry: Option<&'a CatalogEntry>,
    /// What the running kernel says, and by which source.
    kernel: Option<(MetadataSource, KernelType)>,
}

impl Known<'_> {
    /// What the running kernel says, if it does so by this source.
    pub(crate) fn kernel(&self, asked: MetadataSource) -> Option<&KernelType> {
        let (by, kernel) = self.kernel.as_ref()?;
        (*by == asked).then_some(kernel)
    }

    /// Who declares it, if anybody does.
    pub(crate) fn declared_by(&self) -> DeclaredBy {
        self.declared.map(|it| it.by).unwrap_or_default()
    }
}

/// Why a series goes no further.
pub(crate) enum Dropped<'a> {
    /// This rule says so.
    Rule(&'a MetadataRule),
    /// It is a sum of files below.
    Sum,
    /// The same name stands below: it may be a sum.
    NameBelow,
    /// Somebody says that there is no number to export.
    NoNumber,
    /// Nobody knows its kind.
    Unmatched,
}

impl Types {
    pub(crate) fn known<'a>(&'a self, series: &'a Series) -> Known<'a> {
        let source = series.source.as_ref();
        let declared = source.and_then(|source| source.file.declared.as_deref());
        Known {
            rules: self.rules(series).collect(),
            source,
            declared,
            entry: self.entry(source),
            kernel: self.kernel_type(series, declared),
        }
    }

    /// What the running kernel says of a series: by who declares it, else as a file of debugfs.
    fn kernel_type(
        &self,
        series: &Series,
        declared: Option<&Declared>,
    ) -> Option<(MetadataSource, KernelType)> {
        if let Some(declared) = declared.filter(|it| it.by == DeclaredBy::Kernel) {
            let kernel = KernelType::declared(series, declared);
            return Some((MetadataSource::Declared, kernel));
        }
        let is_asked = self.config.sources.contains(&MetadataSource::Kernel);
        let source = series.source.as_ref().filter(|_| is_asked)?;
        let kernel = self.kernel.find(source)?.clone();
        Some((MetadataSource::Kernel, kernel))
    }

    /// The first answer, and who gives it.
    fn first<T>(
        &self,
        answer: impl Fn(MetadataSource) -> Option<T>,
    ) -> Option<(MetadataSource, T)> {
        let mut sources = self.config.sources.iter();
        sources.find_map(|asked| Some((*asked, answer(*asked)?)))
    }

    /// Its kind; none where somebody says that there is no number to export.
    pub(crate) fn kind(&self, known: &Known<'_>) -> Option<(MetadataSource, Option<Kind>)> {
        let of_kernel = |asked| Some(known.kernel(asked)?.kind(known.entry));
        self.first(|asked| match asked {
            MetadataSource::Rules => {
                let kind = known.rules.iter().find_map(|rule| rule.kind);
                kind.map(|kind| Some(kind.into()))
            }
            MetadataSource::Declared => {
                let declared = known.declared.and_then(|it| it.kind.clone());
                of_kernel(asked).or_else(|| declared.map(Some))
            }
            MetadataSource::Kernel => of_kernel(asked),
            MetadataSource::Catalog => known.entry.map(|entry| entry.kind.clone()),
            MetadataSource::Mode => {
                let is_counter = known.source.is_some_and(is_counter_by_mode);
                is_counter.then_some(Some(Kind::COUNTER))
            }
        })
    }

    pub(crate) fn unit(&self, known: &Known<'_>) -> Option<(MetadataSource, Arc<str>)> {
        self.text(
            known,
            |rule| rule.unit.as_deref(),
            |declared| declared.unit.clone(),
            |kernel| kernel.unit(known.entry),
            |entry| &entry.unit,
        )
    }

    pub(crate) fn description(&self, known: &Known<'_>) -> Option<(MetadataSource, Arc<str>)> {
        self.text(
            known,
            |rule| rule.description.as_deref(),
            |declared| declared.description.clone(),
            |_| None,
            |entry| &entry.description,
        )
    }

    fn text(
        &self,
        known: &Known<'_>,
        of_rule: impl Fn(&MetadataRule) -> Option<&str>,
        of_declared: impl Fn(&Declared) -> Option<Arc<str>>,
        of_kernel: impl Fn(&KernelType) -> Option<Arc<str>>,
        of_entry: impl Fn(&CatalogEntry) -> &Arc<str>,
    ) -> Option<(MetadataSource, Arc<str>)> {
        let of_kernel = |asked| known.kernel(asked).and_then(&of_kernel);
        self.first(|asked| match asked {
            MetadataSource::Rules => {
                let mut rules = known.rules.iter();
                rules.find_map(|rule| of_rule(rule).map(Arc::from))
            }
            MetadataSource::Declared => {
                let declared = known.declared.and_then(&of_declared);
                declared.or_else(|| of_kernel(asked))
            }
            MetadataSource::Kernel => of_kernel(asked),
            MetadataSource::Catalog => {
                let text = known.entry.map(&of_entry);
                text.filter(|it| !it.is_empty()).cloned()
            }
            MetadataSource::Mode => None,
        })
    }

    /// What its values are multiplied by: a rule's `scale`, else what goes with its unit.
    pub(crate) fn scale(&self, known: &Known<'_>) -> Option<f64> {
        let of_rules = known.rules.iter().find_map(|rule| rule.scale);
        let of_kernel = || {
            let kernel = known.kernel(MetadataSource::Kernel)?;
            let is_of_its_unit = match self.unit(known).map(|(from, _)| from) {
                Some(MetadataSource::Rules | MetadataSource::Declared) => false,
                // What the things are called that it counts.
                Some(MetadataSource::Catalog) => kernel.counts_things(),
                Some(MetadataSource::Kernel | MetadataSource::Mode) | None => true,
            };
            kernel.scale.filter(|_| is_of_its_unit)
        };
        of_rules.or_else(of_kernel)
    }

    /// What the running kernel and the catalog say, where these differ and the kernel's word holds.
    pub(crate) fn disagreement(&self, known: &Known<'_>) -> Option<(String, String)> {
        let (entry, (by, kernel)) = (known.entry?, known.kernel.as_ref()?);
        let kind_from = self.kind(known).map(|(from, _)| from);
        let unit_from = self.unit(known).map(|(from, _)| from);
        let is_other = kind_from == Some(*by) && !kernel.agrees_in_kind(entry)
            || unit_from == Some(*by) && !kernel.agrees_in_unit(entry);
        let is_dropped = known.rules.iter().any(|rule| rule.drop);
        (is_other && !is_dropped).then(|| (kernel.words(), words_of(entry)))
    }

    /// Whether it is a sum; `None` if nobody says anything.
    pub(crate) fn is_aggregate(&self, known: &Known<'_>) -> Option<bool> {
        let answer = self.first(|asked| match asked {
            MetadataSource::Rules => known.rules.iter().find_map(|rule| rule.aggregate),
            MetadataSource::Declared => known.declared.and_then(|it| it.aggregate),
            MetadataSource::Kernel => known.source.and_then(is_kvm_aggregate),
            MetadataSource::Catalog => {
                let entry = known.entry.zip(known.source);
                entry.map(|(entry, source)| entry.is_aggregate(source))
            }
            MetadataSource::Mode => None,
        });
        answer.map(|(_, is_aggregate)| is_aggregate)
    }

    /// Whether it is a sum, or may be one since nobody says that it is none.
    fn is_marked(&self, known: &Known<'_>) -> bool {
        let same_name_below = known.source.is_some_and(|it| it.file.same_name_below);
        self.is_aggregate(known).unwrap_or(same_name_below)
    }

    /// Whether it becomes a metric of its own, as a sum.
    pub(crate) fn is_apart(&self, known: &Known<'_>) -> bool {
        self.config.aggregates == Aggregates::Separate && self.is_marked(known)
    }

    /// Why it goes no further, if it does not.
    pub(crate) fn dropped<'a>(&self, series: &Series, known: &Known<'a>) -> Option<Dropped<'a>> {
        if let Some(rule) = known.rules.iter().find(|rule| rule.drop) {
            return Some(Dropped::Rule(rule));
        }
        match self.config.aggregates {
            Aggregates::Auto if self.is_aggregate(known) == Some(true) => {
                return Some(Dropped::Sum);
            }
            Aggregates::Drop if self.is_marked(known) => return Some(Dropped::NameBelow),
            _ => {}
        }
        match self.kind(known) {
            Some((_, None)) => Some(Dropped::NoNumber),
            None if series.kind == Kind::Unknown && self.config.unmatched == Unmatched::Drop => {
                Some(Dropped::Unmatched)
            }
            _ => None,
        }
    }
}

/// A file that can be cleared counts; on sysfs 0644 is a setting, and 0444 says nothing anywhere.
pub(crate) fn is_counter_by_mode(source: &Source) -> bool {
    let known = match &*source.directory.filesystem {
        "statsfs" | "stats_fs" => true,
        "debugfs" => source.directory.path.split('/').next() == Some("kvm"),
        _ => false,
    };
    known && source.file.mode & 0o777 == 0o644
}
