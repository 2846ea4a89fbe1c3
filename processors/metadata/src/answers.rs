//! Who says what of a metric: of those that are asked, the first that answers.

use std::sync::Arc;

use pipeline::{Declared, Kind, Series, Source};

use crate::catalog::CatalogEntry;
use crate::config::{Aggregates, MetadataRule, MetadataSource, Unmatched};
use crate::types::Types;

/// What is known of a series as it comes in.
pub(crate) struct Known<'a> {
    /// The rules that match, if they are asked at all.
    pub(crate) rules: Vec<&'a MetadataRule>,
    source: Option<&'a Source>,
    pub(crate) declared: Option<&'a Declared>,
    entry: Option<&'a CatalogEntry>,
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
        Known {
            rules: self.rules(series).collect(),
            source,
            declared: source.and_then(|source| source.file.declared.as_deref()),
            entry: self.entry(source),
        }
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
        self.first(|asked| match asked {
            MetadataSource::Rules => {
                let kind = known.rules.iter().find_map(|rule| rule.kind);
                kind.map(|kind| Some(kind.into()))
            }
            MetadataSource::Declared => known.declared.and_then(|it| it.kind.clone()).map(Some),
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
            |entry| &entry.unit,
        )
    }

    pub(crate) fn description(&self, known: &Known<'_>) -> Option<(MetadataSource, Arc<str>)> {
        self.text(
            known,
            |rule| rule.description.as_deref(),
            |declared| declared.description.clone(),
            |entry| &entry.description,
        )
    }

    fn text(
        &self,
        known: &Known<'_>,
        of_rule: impl Fn(&MetadataRule) -> Option<&str>,
        of_declared: impl Fn(&Declared) -> Option<Arc<str>>,
        of_entry: impl Fn(&CatalogEntry) -> &Arc<str>,
    ) -> Option<(MetadataSource, Arc<str>)> {
        self.first(|asked| match asked {
            MetadataSource::Rules => {
                let mut rules = known.rules.iter();
                rules.find_map(|rule| of_rule(rule).map(Arc::from))
            }
            MetadataSource::Declared => known.declared.and_then(&of_declared),
            MetadataSource::Catalog => {
                let text = known.entry.map(&of_entry);
                text.filter(|it| !it.is_empty()).cloned()
            }
            MetadataSource::Mode => None,
        })
    }

    /// Whether it is a sum; `None` if nobody says anything.
    pub(crate) fn is_aggregate(&self, known: &Known<'_>) -> Option<bool> {
        let answer = self.first(|asked| match asked {
            MetadataSource::Rules => known.rules.iter().find_map(|rule| rule.aggregate),
            MetadataSource::Declared => known.declared.and_then(|it| it.aggregate),
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
