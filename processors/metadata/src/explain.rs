//! What is said for `inspect` of a series: who knows what it is, and what drops it.

use std::borrow::Cow;

use pipeline::{Explanation, Kind, Series};

use crate::answers::{Dropped, Known};
use crate::config::{MetadataRule, MetadataSource};
use crate::types::Types;

impl Types {
    pub(crate) fn explanation(&self, series: &Series) -> Explanation {
        let known = self.known(series);
        let mut explanation = Explanation::default();
        let dropped = self.dropped(series, &known);
        explanation.dropped_by = dropped.map(|dropped| self.reason(series, &known, &dropped));
        explanation.kind_from = match self.kind(&known) {
            _ if self.is_apart(&known) => Some("aggregates".into()),
            Some((from, _)) => Some(self.said_by(from, &known, |rule| rule.kind.is_some())),
            None if series.kind == Kind::Unknown => Some("nobody".into()),
            None => None,
        };
        let unit = self.unit(&known);
        explanation.unit_from =
            unit.map(|(from, _)| self.said_by(from, &known, |rule| rule.unit.is_some()));
        explanation
    }

    fn reason(
        &self,
        series: &Series,
        known: &Known<'_>,
        dropped: &Dropped<'_>,
    ) -> Cow<'static, str> {
        match dropped {
            Dropped::Rule(rule) => self.rule_path(rule),
            Dropped::Sum => "aggregates: a sum of files below".into(),
            Dropped::NameBelow => "aggregates: the same name stands below".into(),
            Dropped::NoNumber => match self.counter_of_range(series) {
                Some(counter) => format!("read as the range of {}", counter.name).into(),
                None => match self.kind(known) {
                    Some((MetadataSource::Kernel, _)) => "kernel: no number to export".into(),
                    _ => "catalog: no number to export".into(),
                },
            },
            Dropped::Unmatched => "unmatched: nobody knows its kind".into(),
        }
    }

    /// Who says something, in a word; of the rules the first that `says` it, by its path.
    fn said_by(
        &self,
        source: MetadataSource,
        known: &Known<'_>,
        says: impl Fn(&MetadataRule) -> bool,
    ) -> Cow<'static, str> {
        match source {
            MetadataSource::Rules => {
                let rule = known.rules.iter().find(|rule| says(rule));
                rule.map_or("rules".into(), |rule| self.rule_path(rule))
            }
            MetadataSource::Declared => known.declared_by().word().into(),
            MetadataSource::Kernel => "kernel".into(),
            MetadataSource::Catalog => "catalog".into(),
            MetadataSource::Mode => "mode".into(),
        }
    }

    fn rule_path(&self, rule: &MetadataRule) -> Cow<'static, str> {
        let mut rules = self.config.rules.iter();
        let index = rules.position(|it| std::ptr::eq(it, rule));
        let rule_use = index.and_then(|index| self.rule_uses.get(index));
        rule_use.map_or("rules".into(), |it| it.path().to_owned().into())
    }
}
